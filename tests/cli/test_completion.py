"""Shells complete commands, options, values and paths."""

import json
import shutil
import subprocess

import pytest
from helpers.commands import COMMAND, finished, segprep_

from segprep.cli.commands import COMMANDS
from segprep.readers import READERS
from segprep.targets.weights import PRESETS

SHELLS = ["bash", "zsh", "fish"]


def completions(*words, shell="bash"):
    """Kind and value of each completion of the last word."""
    line = "\n".join(["segprep", *words]) if shell == "bash" else " ".join(["segprep", *words])
    number = words[-1] if shell == "fish" else str(len(words))
    ended = segprep_(_SEGPREP_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=number)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def values(*words):
    return [line.partition(",")[2] for line in completions(*words) if line.startswith("plain,")]


def test_commands_are_completed():
    assert values("") == list(COMMANDS)
    assert values("we") == ["weights"]


def test_options_are_completed():
    assert {"--sigma", "--separate", "--split", "--scheduler"} <= set(values("weights", "--s"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["weights", "--preset", ""], list(PRESETS)),
        (["weights", "--targets", "b"], ["border", "boundaries"]),
        (["weights", "--targets", "weights,d"], ["weights,distance"]),
        (["weights", "--format", ""], list(READERS)),
        (["check", "--format", "ka"], ["kaggle-csv"]),
        (["weights", "--class-weights", "inv"], ["inverse", "inverse-sqrt"]),
        (["weights", "--instances-from", "w"], ["watershed"]),
        (["classes", "--formula", "f"], ["focal-alpha"]),
        (["demo", "--as", "c"], ["coco"]),
        (["completion", ""], SHELLS),
    ],
    ids=" ".join,
)
def test_values_are_completed(words, expected):
    assert values(*words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["weights", "da"],
        ["weights", "data", "o"],
        ["verify", "out.zarr", "--repair", "d"],
        ["weights", "--class-weights", "mine"],
        ["weights", "--split", "s"],
        ["weights", "--problems", "p"],
        ["weights", "--config", "s"],
        ["preview", "-o", "x"],
    ],
    ids=" ".join,
)
def test_the_shell_completes_paths(words):
    assert completions(*words) == [f"file,{words[-1]}"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_asks_the_command(shell):
    script = segprep_("completion", shell).stdout
    assert script.startswith("# Add to ~/.")
    assert f"_SEGPREP_COMPLETE={shell}_complete" in script
    assert json.loads(segprep_("completion", shell, "--json").stdout) == {
        "shell": shell,
        "script": script.removesuffix("\n"),
    }
    if (program := shutil.which(shell)) is not None:
        assert finished([program, "-n", "-c", script]).returncode == 0


def test_bash_completes_with_the_script(tmp_path):
    (tmp_path / "script").write_text(segprep_("completion", "bash").stdout)
    lines = [
        f"PATH={COMMAND.parent}:$PATH",
        ". ./script",
        "complete -p segprep",
        "COMP_WORDS=(segprep weights --preset c); COMP_CWORD=3",
        "_segprep_completion segprep 2> /dev/null",
        'echo "${COMPREPLY[@]}"',
    ]
    ended = subprocess.run(
        [shutil.which("bash"), "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[1:] == ["crowded"]


def test_another_shell_is_a_usage_error():
    ended = segprep_("completion", "bsh")
    assert ended.returncode == 2
    assert "did you mean 'bash'?" in ended.stderr
