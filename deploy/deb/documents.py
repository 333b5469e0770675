"""The man page and the bash completion, made from the command line itself."""
# ruff: noqa: INP001, SLF001  # a script's module; argparse shows its insides no other way

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

OptionsByCommand = Mapping[str, argparse.ArgumentParser]

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


def commands_of(top: argparse.ArgumentParser) -> OptionsByCommand:
    """The parser of each command."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


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
    return "\n".join(lines) + "\n" + _FILES


def shown(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a command that a user is told of, --help aside."""
    for action in command._actions:
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            yield action


def bash_completion(top: argparse.ArgumentParser) -> str:
    """Completes commands, options, and the values that are a choice or a file."""
    commands = commands_of(top)
    cases, values = [], {}
    for name, command in commands.items():
        options = [option for action in shown(command) for option in action.option_strings]
        cases.append(f'    {name}) words="{" ".join([*options, "--help"])}" ;;')
        for action in shown(command):
            for option in action.option_strings:
                if action.choices:
                    values[f"{name}:{option}"] = " ".join(map(str, action.choices))
    choices = [f'    {key}) words="{text}" ;;' for key, text in sorted(values.items())]
    return "\n".join(
        [
            "# bash completion for perpflux, made from its command line",
            "_perpflux() {",
            '  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=""',
            "  local command=${COMP_WORDS[1]}",
            "  if ((COMP_CWORD == 1)); then",
            f'    words="{" ".join([*commands, "--version", "--help"])}"',
            "  else",
            '    case "$command" in',
            *(f"  {case}" for case in cases),
            "    esac",
            '    case "$command:$before" in',
            *(f"  {choice}" for choice in choices),
            "    esac",
            "  fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
            "}",
            "complete -o default -F _perpflux perpflux",
            "",
        ]
    )


def _option(action: argparse.Action) -> list[str]:
    names = action.option_strings or [action.metavar or action.dest]
    value = ""
    if action.option_strings and action.nargs != 0:
        one_of = action.choices and "{" + ",".join(map(str, action.choices)) + "}"
        value = f" {one_of or action.metavar or action.dest.upper()}"
    words = (action.help or "").replace("%(default)s", str(action.default))
    return [".TP", rf"\fB{_roff(', '.join(map(str, names)))}\fR{_roff(value)}", _roff(words)]


def _roff(text: str) -> str:
    """Plain text as man(7) has it: nothing is a request or an escape."""
    escaped = text.strip("\n").replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(
        rf"\&{line}" if line[:1] in {".", "'"} else line for line in escaped.split("\n")
    )
