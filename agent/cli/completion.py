"""`perpflux completion bash|zsh|fish`: completes commands and options, made from the command line.

What is told of an argument there is told here: its choices, whether it takes a file, its help.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from agent.cli.arguments import parser
from agent.cli.options import SHELLS
from agent.cli.output import emit
from agent.errors import EXIT_OK

Parser = argparse.ArgumentParser
_GLOBAL: Final = ("--version", "--help")


def command(options: argparse.Namespace) -> int:
    """Print the script of a shell."""
    emit(SCRIPTS[options.shell](parser()))
    return EXIT_OK


def commands_of(top: Parser) -> Mapping[str, Parser]:
    """The parser of each command."""
    for action in top._actions:  # noqa: SLF001  # argparse shows its insides no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def shown(of_command: Parser) -> Iterator[argparse.Action]:
    """The arguments of a command that a user is told of, --help aside."""
    for action in of_command._actions:  # noqa: SLF001
        hidden = action.help == argparse.SUPPRESS
        if not hidden and not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            yield action


def help_of(action: argparse.Action) -> str:
    """What is said of an argument."""
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def bash(top: Parser) -> str:
    """For bash: https://www.gnu.org/software/bash/manual/bash.html#Programmable-Completion ."""
    commands = commands_of(top)
    cases, values = [], {}
    for name, of_command in commands.items():
        words = [option for action in shown(of_command) for option in action.option_strings]
        for action in shown(of_command):
            for option in action.option_strings:
                if action.choices:
                    values[f"{name}:{option}"] = " ".join(map(str, action.choices))
            if not action.option_strings:
                words += map(str, action.choices or ())
        cases.append(f'    {name}) words="{" ".join([*words, "--help"])}" ;;')
    choices = [f'    {key}) words="{text}" ;;' for key, text in sorted(values.items())]
    return "\n".join(
        [
            "# bash completion for perpflux, made from its command line",
            "_perpflux() {",
            '  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=""',
            "  local command=${COMP_WORDS[1]}",
            "  if ((COMP_CWORD == 1)); then",
            f'    words="{" ".join([*commands, *_GLOBAL])}"',
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


def zsh(top: Parser) -> str:
    """For zsh: https://zsh.sourceforge.io/Doc/Release/Completion-System.html ."""
    commands = commands_of(top)
    names = [f"    {_quoted(f'{name}:{_of(each)}')}" for name, each in commands.items()]
    cases = []
    for name, of_command in commands.items():
        specs = [_quoted(spec) for action in shown(of_command) for spec in _zsh_specs(action)]
        cases.append(f"    {name}) _arguments {' '.join([*specs, _quoted('--help[help]')])} ;;")
    return "\n".join(
        [
            "#compdef perpflux",
            "# zsh completion for perpflux, made from its command line",
            "_perpflux() {",
            "  local -a commands",
            "  commands=(",
            *names,
            "  )",
            "  if (( CURRENT == 2 )); then",
            "    _describe -t commands command commands",
            "    return",
            "  fi",
            "  local command=${words[2]}",
            "  shift words",
            "  (( CURRENT-- ))",
            "  case $command in",
            *cases,
            "  esac",
            "}",
            "# Found by name in $fpath, or read by eval.",
            "if [[ ${funcstack[1]} == _perpflux ]]; then",
            '  _perpflux "$@"',
            "else",
            "  compdef _perpflux perpflux",
            "fi",
            "",
        ]
    )


def fish(top: Parser) -> str:
    """For fish: https://fishshell.com/docs/current/cmds/complete.html ."""
    lines = ["# fish completion for perpflux, made from its command line", _FISH]
    for name, of_command in commands_of(top).items():
        first = f"{_FISH} -n __fish_use_subcommand -a {name} -d {_fish_quoted(_of(of_command))}"
        lines.append(first.replace(" -f", "", 1))
        here = f"complete -c perpflux -n '__fish_seen_subcommand_from {name}'"
        for action in shown(of_command):
            names = " ".join(f"-l {option.lstrip('-')}" for option in action.option_strings)
            parts = [here, names, *_fish_value(action), f"-d {_fish_quoted(help_of(action))}"]
            lines.append(" ".join(part for part in parts if part))
    return "\n".join([*lines, ""])


SCRIPTS: Final[dict[str, Callable[[Parser], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
assert tuple(SCRIPTS) == SHELLS, "the command line offers what there is"
_FISH: Final = "complete -c perpflux -f"


def _of(of_command: Parser) -> str:
    return (of_command.description or "").splitlines()[0]


def _takes_file(action: argparse.Action) -> bool:
    return "FILE" in str(action.metavar)


def _zsh_specs(action: argparse.Action) -> Iterator[str]:
    """The specifications of an argument: `--name[help]:what:how`."""
    how = "_files" if _takes_file(action) else " "
    if action.choices:
        how = f"({' '.join(map(str, action.choices))})"
    what = str(action.metavar or action.dest).replace(":", "")
    told = help_of(action).translate({ord(mark): f"\\{mark}" for mark in "[]:"})
    if not action.option_strings:
        many = "*" if action.nargs == "*" else ""
        yield f"{many}:{what}:{how}"
    again = "*" if isinstance(action, argparse._AppendAction) else ""  # noqa: SLF001
    for option in action.option_strings:
        yield f"{again}{option}[{told}]" + ("" if action.nargs == 0 else f":{what}:{how}")


def _fish_value(action: argparse.Action) -> Iterator[str]:
    """What an argument takes: one of its choices, a file, something, or nothing."""
    if action.choices:
        yield f"{'-x ' if action.option_strings else ''}-a '{' '.join(map(str, action.choices))}'"
    elif _takes_file(action):
        yield "-r -F" if action.option_strings else "-F"
    elif action.option_strings and action.nargs != 0:
        yield "-x"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
