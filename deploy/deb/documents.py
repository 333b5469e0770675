"""The man page, made from the command line itself."""
# ruff: noqa: INP001  # a script's module

from __future__ import annotations

import argparse

from agent.cli.arguments import examples_of
from agent.cli.completion import commands_of, help_of, shown

_FILES = """\
.SH FILES
.TP
.I /etc/perpflux/perpflux.toml
The configuration; every key is in it with its default.
.TP
.I /etc/perpflux/influx_token
InfluxDB's token, for root alone; the service gets it as a credential when it starts.
.TP
.I /etc/default/perpflux
Variables of the service, such as PERPFLUX_LOG__LEVEL=debug.
.TP
.I /var/lib/perpflux/perpflux.db
The journal of the service.
.SH ENVIRONMENT
Each key of the configuration is also a variable, PERPFLUX_ and the key in upper case with __
between levels: PERPFLUX_BYBIT__POLL_INTERVAL_S=5. PERPFLUX_CONFIG names the file;
INFLUXDB_V2_URL, INFLUXDB_V2_ORG and INFLUXDB_V2_TOKEN fill in what is given nowhere else.
.SH EXIT STATUS
0 done; 1 the work failed or is incomplete; 2 wrong usage; 78 bad configuration.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1),
.I /usr/share/doc/perpflux/operations.md
"""


def man_page(top: argparse.ArgumentParser, version: str, date: str) -> str:
    """perpflux(1) in man(7); `date` is YYYY-MM-DD."""
    lines = [
        f'.TH PERPFLUX 1 "{date}" "perpflux {version}" "User Commands"',
        ".SH NAME",
        r"perpflux \- perpetual futures snapshots into InfluxDB",
        ".SH SYNOPSIS",
        ".B perpflux",
        r"[\-\-version] [\-\-help]",
        ".I COMMAND",
        "[options]",
        ".SH DESCRIPTION",
        _roff(top.description or ""),
        ".SH COMMANDS",
    ]
    for name, command in commands_of(top).items():
        lines += [f'.SS "perpflux {_roff(name)}"', _roff(command.description or "")]
        lines += [text for action in shown(command) for text in _option(action)]
        lines += [".PP", "Examples:"]
        for line, words in examples_of(name):
            lines += [".TP", rf"\fB{_roff(line)}\fR", _roff(words)]
    return "\n".join(lines) + "\n" + _FILES


def _option(action: argparse.Action) -> list[str]:
    names = action.option_strings or [action.metavar or action.dest]
    value = ""
    if action.option_strings and action.nargs != 0:
        one_of = action.choices and "{" + ",".join(map(str, action.choices)) + "}"
        value = f" {one_of or action.metavar or action.dest.upper()}"
    told = _roff(help_of(action))
    return [".TP", rf"\fB{_roff(', '.join(map(str, names)))}\fR{_roff(value)}", told]


def _roff(text: str) -> str:
    """Plain text as man(7) has it: nothing is a request or an escape."""
    escaped = text.strip("\n").replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(
        rf"\&{line}" if line[:1] in {".", "'"} else line for line in escaped.split("\n")
    )
