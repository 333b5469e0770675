"""`perpflux doctor`: looks at everything the agent depends on, and says what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from agent import __version__
from agent.cli.output import complain, say
from agent.config import load
from agent.doctor import Check, DaemonExecutor, Finding, Result, State, checks_of, examine
from agent.errors import EXIT_FAILED, EXIT_OK, ConfigError, UsageError


def command(options: argparse.Namespace) -> int:
    """Print a line per check; 1 when something fails, 78 when the configuration is unusable."""
    as_json = options.format == "json"
    if options.token_file is not None and not options.token_file.exists():
        raise UsageError("doctor", f"{options.token_file} does not exist", "--token-file names it")
    try:
        loaded = load(options.config)
    except ConfigError as error:
        unusable = Finding(
            State.FAIL, error.subject, error.hint or "`perpflux check` says it again"
        )
        _report([Result("configuration", unusable)], as_json=as_json)
        return error.exit_code
    checks = checks_of(loaded, options.token_file)
    results = asyncio.run(_examine(checks, quiet=as_json))
    if as_json:
        _report(results, as_json=True)
    counts = {state: sum(each.finding.state is state for each in results) for state in State}
    if not as_json:
        complain(", ".join(f"{count} {state}" for state, count in counts.items()))
    return EXIT_FAILED if counts[State.FAIL] else EXIT_OK


async def _examine(checks: Sequence[Check], *, quiet: bool) -> list[Result]:
    """All results; printed as they come unless `quiet`."""
    asyncio.get_running_loop().set_default_executor(DaemonExecutor())
    width = max(len(check.name) for check in checks)
    results = []
    async for result in examine(checks):
        results.append(result)
        if not quiet:
            say(_line(result.name, width, *result.finding))
    return results


def _line(name: str, width: int, state: State, text: str, advice: str) -> str:
    """One line, whatever the text holds."""
    words = f"{text} -> {advice}" if advice else text
    return f"{state:<4}  {name:<{width}}  {' '.join(words.split())}"


def _report(results: Sequence[Result], *, as_json: bool) -> None:
    """Print what was found, all at once."""
    if not as_json:
        for name, finding in results:
            say(_line(name, len(name), *finding))
        return
    failed = any(result.finding.state is State.FAIL for result in results)
    rows = [{"name": name, **finding._asdict()} for name, finding in results]
    say(json.dumps({"version": __version__, "ok": not failed, "checks": rows}, indent=2))
