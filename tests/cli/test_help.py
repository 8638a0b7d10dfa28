"""Every help fits its terminal, groups its options and ends with examples that run."""

import re
import shlex

import pytest
from click.testing import CliRunner
from helpers.commands import commands_by_name, segprep_

from segprep.cli.commands import COMMANDS, main
from segprep.cli.examples import EXAMPLES
from segprep.cli.options import HEADINGS, heading_of

COMMANDS_BY_NAME = commands_by_name()
OPTIONS = [
    (name, param)
    for name, command in COMMANDS_BY_NAME.items()
    for param in command.params
    if param.param_type_name == "option"
]
"""Each option with the name of its command; ``--help`` is that of click."""
IDS = [f"{name} {param.name}" for name, param in OPTIONS]
HELPS = [[], *([name] for name in COMMANDS)]
WORDS = re.compile(r"--?[a-z][\w-]*|[A-Z]{2,}|[a-z0-9]+(?:-[a-z0-9]+)+")


def words_of(text):
    """Names of options and values, which may not be cut."""
    return set(WORDS.findall(text))


@pytest.fixture(params=[40, 80, 120])
def columns(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def help_of(command):
    return segprep_(*command, "--help").stdout


@pytest.mark.parametrize("command", HELPS, ids=lambda command: " ".join(["segprep", *command]))
def test_help_fits_the_terminal_and_cuts_no_word(command, columns):
    text = help_of(command)
    assert [line for line in text.splitlines() if len(line) >= min(columns, 100)] == []
    param_texts = [param.help for name, param in OPTIONS if [name] == command]
    assert words_of(" ".join(param_texts)) <= words_of(text)


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=IDS)
def test_every_option_stands_under_a_known_heading(name, option):
    assert heading_of(option) in HEADINGS, (
        f"segprep {name} {option.opts[0]} stands under {option.heading!r}: use one of {', '.join(HEADINGS)}, or add it to "
        "HEADINGS in cli/options.py"
    )


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=IDS)
def test_every_option_with_a_value_shows_its_form(name, option):
    if not option.is_flag:
        assert option.metavar not in (None, "", "TEXT"), (
            f"segprep {name} {option.opts[0]} needs a metavar, such as FILE"
        )


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=IDS)
def test_a_number_names_its_unit_and_its_default(name, option):
    if isinstance(option.default, str | int | float) and not option.is_flag:
        assert option.show_default or "[default: " in option.help, f"{name} {option.opts[0]}: set show_default=True"
    if (
        re.search(r"\bin pixels\b", option.help)
        and option.type.name in ("integer", "float")
        and option.name != "max_pixels"
    ):
        assert option.metavar == "PX"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples(name):
    assert EXAMPLES.get(name), f"add examples of segprep {name} to cli/examples.py"
    text = help_of([name]).partition("\nExamples:\n")[2]
    joined = " ".join(text.replace("\\\n", " ").split())
    for words, line in EXAMPLES[name]:
        assert f"{words}: {line}" in joined


def test_examples_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in COMMANDS:
        for _, line in EXAMPLES[name]:
            assert line.startswith(f"segprep {name}")
            words, _, file = line.partition(" > ")
            ended = CliRunner().invoke(main, shlex.split(words)[1:], standalone_mode=False)
            assert ended.exception is None, (line, ended.output, ended.exception)
            assert (ended.return_value or 0) == (words == "segprep check coco"), line
            if file:
                (tmp_path / file).write_text(ended.stdout)
