"""What --json prints is one document of JSON that its schema describes, for every command and each exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from helpers.commands import COMMAND, SECONDS, allow_interrupts, commands_by_name, finished, segprep_
from helpers.examples import mostly_slow
from jsonschema import Draft202012Validator
from PIL import Image

import segprep
from segprep.cli.commands import COMMANDS
from segprep.cli.documents import DOCUMENTS, as_document, as_json
from segprep.cli.schema import schema_of

EXAMPLES = Path(__file__).parents[2] / "examples"
KEPT = json.loads(Path(__file__).with_name("schemas.json").read_text(encoding="utf-8"))
"""Schemas that users may rely on. To keep those of today: `python tests/cli/test_documents.py`."""
PROSE = {"title", "description", "$schema"}


def strict(schema):
    """Schema that allows no key that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {key: strict(value) for key, value in schema.items()} | closed


def document_in(ended):
    """The only document on stdout, which its schema describes, and of which no key is unknown."""
    assert ended.stdout.replace("\n", "").isprintable()
    document = json.loads(ended.stdout)
    Draft202012Validator(strict(schema_of(document["schema"]))).validate(document)
    assert [*document][:2] == ["schema", "schema_version"]
    return document


def error_in(ended, status):
    """The document of an error, which agrees with stderr and the exit code."""
    document = document_in(ended)
    assert (document["schema"], document["exit_code"], ended.returncode) == ("error", status, status)
    shown = [line.removeprefix("segprep: ") for line in ended.stderr.splitlines()]
    assert shown[-len(document["lines"]) :] == document["lines"]
    assert document["message"] == "\n".join(document["lines"])
    return document


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of data sets and stores: without problems, with problems, with classes, incomplete, damaged."""
    folder = tmp_path_factory.mktemp("documents")
    segprep.demo(folder / "good", images=6, size=64)
    segprep.demo(folder / "bad", images=6, size=64, with_problems=True)
    segprep.demo(folder / "classes", images=6, size=64, layout="coco")
    segprep.preprocess(folder / "good", folder / "good.zarr", split=(0.5, 0.5))
    segprep.preprocess(folder / "classes", folder / "classes.zarr")
    segprep.preprocess(folder / "good", folder / "part.zarr", part="1/2")
    shutil.copytree(folder / "good.zarr", folder / "damaged.zarr")
    next((folder / "damaged.zarr").glob("*/labels/c/0/0/0")).unlink()
    return folder


# --- documents of results --------------------------------------------------------------------------------------------

RESULTS = [
    ("demo new --images 2 --size 64", 0),
    ("demo new --as coco --with-problems --images 3 --size 64", 0),
    ("weights good new.zarr --preset falk2019 --split 0.5,0.5 --targets weights,distance,border,boundaries", 0),
    ("weights good good.zarr --split 0.5,0.5", 0),
    ("weights good new.zarr --part 1/2", 0),
    ("weights classes new.zarr --class-weights inverse --clip-class-weights 0.1,3 --folds 2", 0),
    ("weights bad new.zarr --on-error skip-mask", 1),
    ("weights good new.zarr --dry-run", 0),
    ("weights bad new.zarr --on-error skip-mask --dry-run", 1),
    ("check good", 0),
    ("check bad", 1),
    ("check classes", 0),
    ("preview good -o new.html --count 2", 0),
    ("preview good.zarr -o new.png --count 1", 0),
    ("info good.zarr", 0),
    ("info classes.zarr", 0),
    ("info part.zarr", 0),
    ("info good.zarr --command", 0),
    ("info good.zarr --config", 0),
    ("verify good.zarr --deep", 0),
    ("verify good.zarr --against good --sample 1", 0),
    ("verify damaged.zarr", 5),
    ("verify damaged.zarr --repair good", 0),
    ("classes good.zarr", 0),
    ("classes classes.zarr --formula effective-number --normalise", 0),
    ("split good.zarr --split 0.5,0.5 --folds 3 --stratify", 0),
    ("evaluate good good.zarr", 0),
    ("evaluate classes.zarr classes --per-class", 0),
    ("completion bash", 0),
    ("formats", 0),
    ("schema", 0),
]


@pytest.mark.parametrize(("line", "status"), RESULTS, ids=[line for line, _ in RESULTS])
def test_a_result_is_what_its_schema_describes(line, status, folder, tmp_path, monkeypatch, segprep_here):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    workers = (
        [] if line.split()[0] in {"demo", "info", "classes", "completion", "formats", "schema"} else ["--workers", "1"]
    )
    ended = segprep_here(*line.split(), *workers, "--json")
    assert ended.returncode == status, ended
    others = {"--dry-run": "estimate", "--command": "recipe", "--config": "recipe"}
    assert document_in(ended)["schema"] == others.get(line.split()[-1], line.split()[0])


def test_every_command_but_the_slow_doctor_is_among_the_results():
    assert {line.split()[0] for line, _ in RESULTS} == set(COMMANDS) - {"doctor"}


def test_the_content_of_a_document_is_of_its_class():
    with pytest.raises(TypeError, match=r"'error' is of .failures:Failure, not of dict"):
        as_document("error", {"kind": "input"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have_are_null(value):
    assert json.loads(as_json({"a": [value, 1.5, {"b": (value,)}]})) == {"a": [None, 1.5, {"b": [None]}]}


# --- schemas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_command_prints_each_schema_and_it_is_one(name, segprep_here):
    ended = segprep_here("schema", name)
    assert (ended.returncode, ended.stderr) == (0, "")
    schema = json.loads(ended.stdout)
    Draft202012Validator.check_schema(schema)
    assert schema == schema_of(name)
    assert json.loads(segprep_here("schema", name, "--json").stdout) == schema


def test_there_is_a_schema_for_each_command_and_for_errors():
    assert set(DOCUMENTS) >= {*COMMANDS, "error"}


def test_a_schema_refuses_what_lacks_a_key_or_has_another_type(folder, segprep_here):
    document = document_in(segprep_here("info", folder / "good.zarr", "--json"))
    validator = Draft202012Validator(schema_of("info"))
    assert validator.is_valid(document)
    assert validator.is_valid(document | {"key_of_a_later_version": 1})
    assert not validator.is_valid({key: value for key, value in document.items() if key != "masks"})
    assert not validator.is_valid(document | {"masks": "3"})
    assert not validator.is_valid(document | {"schema_version": 2})


def differences(before, now, where=""):
    """Places in which a schema does not promise what an earlier one did."""
    if isinstance(before, dict):
        for key, value in before.items():
            if key not in PROSE:
                yield from differences(value, now[key], f"{where}/{key}") if key in now else [f"{where}/{key}"]
    elif isinstance(before, list):
        yield from [] if all(item in now for item in before) else [where]
    elif before != now:
        yield where


@pytest.mark.parametrize("name", KEPT)
def test_within_a_version_nothing_is_removed_or_given_another_type(name):
    now = schema_of(name)
    if now["properties"]["schema_version"] == KEPT[name]["properties"]["schema_version"]:
        assert list(differences(KEPT[name], now)) == []


def test_a_removed_key_and_another_type_are_differences():
    before = schema_of("classes")
    assert list(differences(before, before)) == []
    removed = before | {"properties": {key: item for key, item in before["properties"].items() if key != "vector"}}
    assert list(differences(before, removed)) == ["/properties/vector"]
    retyped = before | {"properties": before["properties"] | {"formula": {"type": "integer"}}}
    assert list(differences(before, retyped)) == ["/properties/formula/type"]


# --- documents of errors ---------------------------------------------------------------------------------------------

ERRORS = [
    (2, "usage", ["weights", "good", "new.zarr", "--wrong"]),
    (2, "usage", ["weights", "good", "new.zarr", "--sigma", "wide"]),
    (2, "usage", ["weights", "good", "new.zarr", "--sigma", "-1"]),
    (2, "usage", ["weights", "--json", "good"]),
    (2, "usage", ["wrong"]),
    (2, "usage", []),
    (2, "usage", ["schema", "wrong"]),
    (3, "input", ["check", "nowhere"]),
    (3, "input", ["preview", "nowhere"]),
    (3, "input", ["evaluate", "nowhere", "good"]),
    (4, "output", ["weights", "good", "good.zarr", "--split", "0.5,0.5", "--sigma", "4"]),
    (4, "output", ["demo", "good"]),
    (5, "integrity", ["info", "good"]),
    (5, "integrity", ["info", "truncated.zarr"]),
    (5, "integrity", ["classes", "truncated.zarr"]),
    (5, "integrity", ["split", "truncated.zarr", "--split", "1,0,0"]),
    (6, "storage", ["weights", "good", "good/file/new.zarr"]),
    (6, "storage", ["weights", "good", "/proc/new.zarr"]),
    pytest.param(6, "storage", ["check", "good", "--scheduler", "tcp://127.0.0.1:1"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("status", "kind", "arguments"), ERRORS, ids=repr)
def test_an_error_is_a_document_too(status, kind, arguments, folder, tmp_path, monkeypatch, segprep_here):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "good" / "file").touch()
    shutil.copytree(tmp_path / "good.zarr", tmp_path / "truncated.zarr")
    root = tmp_path / "truncated.zarr" / "zarr.json"
    root.write_bytes(root.read_bytes()[:500])
    monkeypatch.chdir(tmp_path)
    document = error_in(segprep_here(*arguments, "--json"), status)
    assert document["kind"] == kind
    assert document["command"] == (arguments[0] if arguments and arguments[0] in COMMANDS else None)


REAL = [
    (1, "check", ["check", "bad"]),
    (2, "error", ["info", "good.zarr", "--wrong"]),
    (3, "error", ["weights", "nowhere", "new.zarr"]),
    (4, "error", ["weights", "good", "good.zarr", "--sigma", "4"]),
    (5, "error", ["info", "nowhere.zarr"]),
    (5, "verify", ["verify", "damaged.zarr"]),
    (6, "error", ["weights", "good", "/proc/new.zarr"]),
]


@pytest.mark.parametrize(("status", "schema", "arguments"), REAL, ids=[" ".join(words) for _, _, words in REAL])
def test_a_process_prints_one_document_for_its_exit_code(status, schema, arguments, folder):
    ended = segprep_(*arguments, "--json", cwd=folder)
    assert ended.returncode == status
    document = document_in(ended) if schema != "error" else error_in(ended, status)
    assert document["schema"] == schema


@pytest.mark.parametrize("name", commands_by_name())
def test_every_command_prints_a_document_for_an_unknown_option(name, segprep_here):
    document = error_in(segprep_here(name, "--wrong", "--json"), 2)
    assert (document["error"], document["command"]) == ("NoSuchOption", name)
    assert document["remedy"] == f"See 'segprep {name} --help'."


SCRIPT = """
import signal, sys
from segprep.cli.main import run

class Finder:
    def find_spec(self, name, *_):
        if name == "segprep.cli.{module}":
            {action}

sys.meta_path.insert(0, Finder())
run()
"""
ENDINGS = [(70, "bug", "raise RuntimeError('a bug')"), (143, "terminated", "signal.raise_signal(signal.SIGTERM)")]
ENDINGS += [(130, "interrupted", "signal.raise_signal(signal.SIGINT)")]


@pytest.mark.parametrize(("status", "kind", "action"), ENDINGS, ids=[kind for _, kind, _ in ENDINGS])
@pytest.mark.parametrize("name", mostly_slow(COMMANDS, "weights"))
def test_every_command_prints_a_document_for_a_bug_and_for_a_signal(name, status, kind, action, tmp_path):
    if kind != "bug":
        allow_interrupts()
    script = SCRIPT.format(module=name, action=action)
    ended = finished([sys.executable, "-P", "-c", script, name, tmp_path, "--json"], cwd=tmp_path)
    document = error_in(ended, status)
    assert (document["kind"], document["command"]) == (kind, name)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_run_that_a_signal_ends_prints_a_document(number, kind, tmp_path):
    segprep.demo(tmp_path / "many", images=60, size=256)
    allow_interrupts()
    command = [COMMAND, "weights", tmp_path / "many", tmp_path / "new.zarr", "--workers", "2", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (tmp_path / "new.zarr").exists():
            assert process.poll() is None
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=SECONDS)
    document = error_in(subprocess.CompletedProcess(command, process.returncode, stdout, stderr), 128 + number)
    assert (document["kind"], document["remedy"]) == (kind, "run the same command again to resume")


AFTER = """
import signal
from segprep.cli import info, main
print_result = info.print_result

def then_end(result):
    print_result(result)
    signal.raise_signal(signal.SIGTERM)

info.print_result = then_end
main.run()
"""


def test_a_signal_after_the_result_adds_no_second_document(folder):
    script = "from importlib import import_module\n" + AFTER.replace(
        "from segprep.cli import info, main",
        "info, main = map(import_module, ('segprep.cli.info', 'segprep.cli.main'))",
    )
    ended = finished([sys.executable, "-P", "-c", script, "info", "good.zarr", "--json"], cwd=folder)
    assert (ended.returncode, document_in(ended)["schema"]) == (143, "info")


def test_an_error_that_nobody_can_read_keeps_its_exit_code():
    for stdout in ("> /dev/full", ">&-", "| true"):
        ended = finished(["bash", "-c", f'"$0" info nowhere --json {stdout}; exit "${{PIPESTATUS[0]}}"', COMMAND])
        assert (ended.returncode, ended.stderr.count("\n")) == (5, 1)


@pytest.mark.parametrize("name", [b"\xff\xfe.zarr", "\x1b[31m\u202e.zarr".encode(), "größe.zarr".encode()])
def test_names_that_are_not_utf8_or_not_printable_are_escaped(name, folder, tmp_path):
    shutil.copytree(folder / "good.zarr", os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    for command, key in (("info", "store"), ("check", "message")):
        assert os.fsdecode(name) in document_in(segprep_(command, name, "--json", cwd=tmp_path))[key]


@pytest.mark.parametrize(
    ("arguments", "is_document"),
    [
        (["info", "--json", "nowhere"], True),
        (["info", "nowhere"], False),
        (["info", "--", "--json"], False),
        (["preview", "nowhere", "--key", "--json"], False),
        (["preview", "nowhere", "--key", "--json", "--wrong"], True),  # the options cannot be parsed
    ],
)
def test_only_the_option_asks_for_a_document(arguments, is_document, segprep_here):
    assert bool(segprep_here(*arguments).stdout) == is_document


def test_errors_have_the_remedy_of_their_message(tmp_path, segprep_here):
    Image.new("L", (9, 9), 1).save(tmp_path / "a.png")
    document = error_in(segprep_here("weights", tmp_path, tmp_path / "b.zarr", "--max-pixels", "9", "--json"), 3)
    assert "9 x 9 pixels are more than --max-pixels 9; raise the limit; " in document["message"]
    assert document["remedy"] == "fix them, or use --on-error skip-mask to leave them out"
    assert document["error"] == "InputError"


def test_help_and_version_are_text_in_any_case():
    assert segprep_("info", "--json", "--help").stdout.startswith("Usage: segprep info")


if __name__ == "__main__":
    kept = {name: schema_of(name) for name in DOCUMENTS}
    Path(__file__).with_name("schemas.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(kept), indent=0) + b"\n"
    )
