import logging
import re
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.commands import COMMAND, SECONDS, allow_interrupts, segprep_

import segprep

EXAMPLES = Path(__file__).parents[2] / "examples"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING|ERROR) ")


@pytest.fixture
def bad(tmp_path):
    """Label images of touching cells, five of which cannot be read."""
    segprep.demo(tmp_path / "data", images=3, size=64)
    for number in range(5):
        (tmp_path / f"data/train/labels/bad{number}.png").write_bytes(b"no image")
    return tmp_path / "data"


def entries(file):
    """Level and text of each entry of a log."""
    text = file.read_text()
    starts = list(TIME.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    assert text[: starts[0].start()] == ""
    return [(start[1], text[start.end() : end].rstrip("\n")) for start, end in zip(starts, ends, strict=True)]


def test_quiet_leaves_warnings_errors_and_results(bad, tmp_path, segprep_here):
    command = ["weights", bad, tmp_path / "out.zarr", "--workers", 1, "--on-error", "skip-mask"]
    loud, quiet = segprep_here(*command[:2], tmp_path / "a.zarr", *command[3:]), segprep_here(*command, "-q")
    assert quiet.returncode == loud.returncode == 1
    lines = loud.stderr.splitlines()
    advice = [line for line in lines if re.match(r"segprep: (read|write|\d+ pairs of)|look: |use: ", line)]
    assert len(advice) == 5
    assert quiet.stderr.splitlines() == [line.replace("a.zarr", "out.zarr") for line in lines if line not in advice]
    assert re.sub(r"in \d+\.\d s", "", quiet.stdout).replace("out.", "a.") == re.sub(r"in \d+\.\d s", "", loud.stdout)
    refused = segprep_here("weights", bad, tmp_path / "b.zarr", "--workers", 1, "--quiet")
    assert refused.stderr.splitlines()[-1].startswith("segprep: 5 of ")


def test_verbose_shows_the_steps_the_choices_and_every_problem(bad, tmp_path, segprep_here):
    options = ["--workers", 1, "--on-error", "skip-mask"]
    ended = segprep_here("weights", bad, tmp_path / "out.zarr", *options, "--verbose")
    for step in (
        rf"segprep: \d+\.\d s: finding masks in {bad}",
        r"segprep: \d+\.\d s: found 8 masks; format: label-image; classes: 1",
        r"segprep: \d+\.\d s: working in one process",
        r"segprep: \d+\.\d s: planned 3 masks, .* instances; labels, classes, weights, distance; sizes: ",
        r"segprep: read \d+\.\d s, write \d+\.\d s, all \d+\.\d s",
        *(rf"    {bad}/train/labels/bad{number}\.png: cannot be read" for number in range(5)),
    ):
        assert re.search(rf"^{step}", ended.stderr, re.MULTILINE), step
    assert "more (" not in ended.stderr
    shown = segprep_here("weights", bad, tmp_path / "out.zarr", *options)
    assert "    and 2 more (segprep info " in shown.stderr
    assert "finding masks" not in shown.stderr


def test_quiet_and_verbose_exclude_each_other(coins_store, segprep_here):
    ended = segprep_here("info", coins_store, "-q", "-v")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--quiet and --verbose exclude each other" in ended.stderr


def test_the_log_file_has_all_messages_with_times_the_version_and_the_command(bad, tmp_path, segprep_here):
    log, root = tmp_path / "run.log", tmp_path / "out.zarr"
    options = ["--workers", 1, "--on-error", "skip-mask", "--log-file", log]
    ended = segprep_here("weights", bad, root, *options, "-q")
    found = entries(log)
    assert found[0][1].startswith(f"segprep {segprep.__version__}, Python 3.")
    assert found[1] == (
        "INFO",
        f"command: segprep weights {bad} {root} --workers 1 --on-error skip-mask --log-file {log} -q",
    )
    texts = [text for _, text in found]
    assert {f"finding masks in {bad}", "read 8/8 masks", "write 3/3 masks", f"completing {root}"} <= set(texts)
    assert any(text.startswith(f"look: segprep preview {root} ") for text in texts)
    warned = [f"segprep: warning: {text}" for level, text in found if level == "WARNING"]
    assert "\n".join(warned) == ended.stderr.rstrip("\n")
    segprep_here("info", root, "--log-file", log)
    assert entries(log)[: len(found)] == found
    assert entries(log)[len(found) + 1] == ("INFO", f"command: segprep info {root} --log-file {log}")


def test_the_log_file_has_the_traceback_of_an_error(tmp_path, segprep_here):
    log = tmp_path / "run.log"
    ended = segprep_here("weights", tmp_path / "nowhere", tmp_path / "out.zarr", "--log-file", log)
    assert ended.stderr == f"segprep: {tmp_path / 'nowhere'}: no such file or folder\n"
    traceback, error = [text for level, text in entries(log) if level == "ERROR"]
    assert traceback.startswith("traceback:\nTraceback (most recent call last):\n")
    assert traceback.endswith(f"segprep.errors.InputError: {tmp_path / 'nowhere'}: no such file or folder")
    assert error == f"{tmp_path / 'nowhere'}: no such file or folder"
    assert entries(log)[-1] == ("INFO", "exit code 3")


def test_a_log_file_that_cannot_be_written_ends_the_command_before_it_begins(tmp_path, segprep_here):
    file = tmp_path / "no" / "run.log"
    ended = segprep_here("weights", EXAMPLES / "coins", tmp_path / "out.zarr", "--log-file", file)
    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr == f"segprep: --log-file {file}: cannot be written: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []


def test_a_log_file_on_a_full_disk_does_not_end_a_run(tmp_path, segprep_here):
    ended = segprep_here("weights", EXAMPLES / "coins", tmp_path / "out.zarr", "--log-file", "/dev/full")
    assert (ended.returncode, segprep.describe(tmp_path / "out.zarr").status) == (0, "complete")
    assert ended.stderr.count("--log-file /dev/full: cannot be written; the run continues") == 1


def test_control_codes_of_names_are_escaped_in_the_log_file(tmp_path, segprep_here):
    segprep_here("check", tmp_path / "\x1b[31mred", "--log-file", tmp_path / "run.log")
    text = (tmp_path / "run.log").read_text()
    assert "\\x1b[31mred" in text
    assert "\x1b" not in text


def test_the_log_file_can_be_read_while_the_run_lasts(bad, tmp_path):
    log = tmp_path / "run.log"
    allow_interrupts()
    command = [COMMAND, "weights", bad, tmp_path / "out.zarr", "--log-file", log, "--on-error", "skip-mask"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "segprep: read 8/8 masks\n"
        assert ("INFO", "read 8/8 masks") in entries(log)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode in (130, 1)


def test_stdout_is_the_same_with_each_of_the_options(coins_store, tmp_path):
    command = ["info", coins_store, "--json"]
    plain = segprep_(*command).stdout
    for options in (["-q"], ["-v"], ["--log-file", tmp_path / "run.log"]):
        assert segprep_(*command, *options).stdout == plain


def test_users_of_python_see_the_steps_with_logging(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="segprep"):
        segprep.preprocess(EXAMPLES / "coins", tmp_path / "out.zarr")
    assert "found 1 masks; format: label-image; classes: 1" in [record.getMessage() for record in caplog.records]


def test_logging_is_as_before_after_a_command(coins_store, segprep_here):
    logger = logging.getLogger("segprep")
    before = (logger.level, [*logger.handlers])
    segprep_here("info", coins_store, "-v")
    assert (logger.level, [*logger.handlers]) == before
