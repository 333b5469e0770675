"""The shells complete what the command line takes, made from its one definition."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from agent.cli.arguments import COMMANDS, examples_of, parser
from agent.cli.completion import SCRIPTS, commands_of, shown
from agent.cli.main import main
from agent.cli.options import SHELLS


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = (
        f"{SCRIPTS['bash'](parser())}\n"
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _perpflux\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    """By what stands before: a command, an option of it, one of an option's or a place's values."""
    assert completed("perpflux", "ex") == ["export"]
    assert completed("perpflux", "") == [*COMMANDS, "--version", "--help"]
    assert completed("perpflux", "export", "--si") == ["--since"]
    assert completed("perpflux", "export", "--format", "") == ["jsonl", "csv", "lp", "parquet"]
    assert completed("perpflux", "rejected", "re") == ["replay"]
    assert completed("perpflux", "completion", "") == ["--config", *SHELLS, "--help"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_every_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`perpflux completion SHELL` prints it; nothing of the command line is left out."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert script == SCRIPTS[shell](parser())
    for name, command in commands_of(parser()).items():
        of_command = [line for line in script.splitlines() if re.search(rf"\b{name}\b", line)]
        assert of_command, name
        options = [option for each in shown(command) for option in each.option_strings]
        for option in options:
            word = f"-l {option[2:]} " if shell == "fish" else option
            assert any(word in f"{line} " for line in of_command), (name, option)
    assert "%(default)s" not in script


def test_zsh_quotes_what_would_end_a_word_or_a_description() -> None:
    """Each specification is one word; brackets and colons of a help text are escaped."""
    line = next(line for line in SCRIPTS["zsh"](parser()).splitlines() if "backlog) " in line)
    words = shlex.split(line.removesuffix(" ;;"))
    assert words[:2] == ["backlog)", "_arguments"]
    for spec in words[2:]:
        assert re.fullmatch(r"\*?--[\w-]+\[([^][:\\]|\\.)*\](:\w+:(_files|\(.*\)| ))?", spec), spec


def test_a_file_is_completed_where_one_is_taken() -> None:
    """Zsh and fish offer files for these alone; bash does by default."""
    assert "'--config[" in (zsh := SCRIPTS["zsh"](parser()))
    assert ":FILE:_files'" in zsh
    fish = SCRIPTS["fish"](parser()).splitlines()
    files = [line for line in fish if " -F " in line]
    assert files
    assert all("-l since" not in line for line in files)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_are_accepted_by_the_parser(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command shows at least one, and none can be typed in vain."""
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    examples = list(examples_of(name))
    assert examples
    for line, words in examples:
        assert f"  {line}" in text
        assert words in text
        arguments = shlex.split(line.partition(" > ")[0])[1:]
        assert parser().parse_args(arguments).command == name


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["docter"], "did you mean doctor?"),
        (["doctor", "--formt", "json"], "did you mean --format?"),
        (["completion", "bahs"], "did you mean bash?"),
        (["once", "--format", "xml"], "choose from"),
        ([], "perpflux --help shows what there is"),
    ],
)
def test_wrong_usage_has_a_hint(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and what was probably meant."""
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n") == 1
