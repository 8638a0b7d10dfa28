"""The recipes are run by the tools that they are for, or, where a tool is missing, their commands are run by a shell."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.commands import COMMAND, finished
from PIL import Image

from segprep import demo
from segprep.store.metadata import read_info

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
SECONDS = 300
pytestmark = pytest.mark.slow


def block(language, start=""):
    """The block in a language, of several that which begins with a text."""
    found = re.findall(rf"^```{language}\n({re.escape(start)}.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def folder(tmp_path):
    """Folder with the data of the page."""
    demo(tmp_path / "nuclei", images=6, size=64)
    return tmp_path


def in_folder(folder, *words, code=0, **environment):
    """Result of a command in a folder, which finds segprep."""
    path = os.pathsep.join([str(COMMAND.parent), os.environ["PATH"]])
    ended = finished(words, cwd=folder, seconds=SECONDS, PATH=path, HOME=str(folder), **environment)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def tool(name):
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def test_snakemake_runs_the_recipe_once_and_again_after_a_change(folder):
    snakemake = tool("snakemake")
    (folder / "Snakefile").write_text(block("snakemake"))
    in_folder(folder, snakemake, "--cores", "2")
    before = read_info(folder / "nuclei.zarr")
    assert before.status == "complete"
    assert (folder / "nuclei.html").stat().st_size > 10_000
    assert "Nothing to be done" in in_folder(folder, snakemake, "--cores", "2")
    labels = folder / "nuclei" / "train" / "labels" / "cells000.png"
    with Image.open(labels) as image:
        pixels = np.array(image)
    Image.fromarray(np.where(pixels == 1, 0, pixels).astype(pixels.dtype)).save(labels)
    in_folder(folder, snakemake, "--cores", "2", "nuclei.done")
    assert read_info(folder / "nuclei.zarr").instances == before.instances - 1


def test_snakemake_stops_at_problems_of_the_data(folder):
    snakemake = tool("snakemake")
    (folder / "Snakefile").write_text(block("snakemake"))
    next(folder.rglob("labels/*.png")).write_bytes(b"")
    in_folder(folder, snakemake, "--cores", "2", code=1)
    assert not (folder / "nuclei.zarr").exists()


def test_dvc_runs_the_stages_once_and_keeps_the_store_for_another_run(folder):
    dvc = tool("dvc")
    (folder / "dvc.yaml").write_text(block("yaml"))
    (folder / "params.yaml").write_text("preset: crowded\n")
    in_folder(folder, "git", "init", "--quiet")
    in_folder(folder, dvc, "init", "--quiet")
    in_folder(folder, dvc, "repro")
    assert read_info(folder / "nuclei.zarr").instance_rule.separate == 1
    assert "up to date" in in_folder(folder, dvc, "repro")
    (folder / "params.yaml").write_text("preset: paper\n")
    in_folder(folder, dvc, "repro")
    assert read_info(folder / "nuclei.zarr").instance_rule.separate == 0
    in_folder(folder, dvc, "status", "--quiet")


def test_stages_of_dvc_name_their_outputs():
    stages = yaml.safe_load(block("yaml"))["stages"]
    assert [list(each) if isinstance(each, dict) else each for stage in stages.values() for each in stage["outs"]] == [
        ["nuclei.zarr"],
        "nuclei.html",
    ]


def test_groovy_parses_the_pipeline_of_nextflow():
    tree_sitter = pytest.importorskip("tree_sitter", reason="needs tree-sitter and tree-sitter-groovy")
    groovy = pytest.importorskip("tree_sitter_groovy", reason="needs tree-sitter-groovy")
    parser = tree_sitter.Parser(tree_sitter.Language(groovy.language()))
    assert not parser.parse(block("groovy").encode()).root_node.has_error
    assert parser.parse(block("groovy").replace("}", "", 1).encode()).root_node.has_error


def test_commands_of_the_pipeline_of_nextflow_complete_a_store(folder):
    part, complete = re.findall(r'"""\n\s*(segprep .*)\n\s*"""', block("groovy"))
    parts = int(re.search(r"params\.parts = (\d+)", block("groovy"))[1])
    values = {"params.data": "nuclei", "params.store": "nuclei.zarr", "params.parts": parts, "task.cpus": 1}
    for number in range(1, parts + 1):
        filled = re.sub(r"\$\{(.*?)\}", lambda name, n=number: str((values | {"part": n})[name[1]]), part)
        in_folder(folder, "sh", "-ec", filled)
        assert read_info(folder / "nuclei.zarr").status == "incomplete"
    in_folder(folder, "sh", "-ec", re.sub(r"\$\{(.*?)\}", lambda name: str(values[name[1]]), complete))
    assert read_info(folder / "nuclei.zarr").status == "complete"


def test_the_slurm_script_completes_a_store(folder):
    script = folder / "segprep.sbatch"
    script.write_text(block("sh", "#!/bin/bash"))
    in_folder(folder, "bash", "-n", script)
    in_folder(folder, "bash", script, SLURM_CPUS_PER_TASK="2")
    assert read_info(folder / "nuclei.zarr").status == "complete"


def test_the_plain_script_completes_a_store(folder):
    in_folder(folder, "sh", "-c", block("sh", "set -e"))
    assert read_info(folder / "nuclei.zarr").status == "complete"


def test_the_plain_script_tries_again_only_after_errors_of_machines(folder):
    tools = folder / "tools"
    tools.mkdir()
    (tools / "segprep").write_text('#!/bin/sh\necho "$1" >> calls\ntest "$1" != weights || exit "$(cat code)"\n')
    (tools / "sleep").write_text("#!/bin/sh\necho sleep >> calls\necho 3 > code\n")
    for name in ("segprep", "sleep"):
        (tools / name).chmod(0o755)
    (folder / "code").write_text("6")
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    ended = finished(["sh", "-c", block("sh", "set -e")], cwd=folder, PATH=path)
    assert ended.returncode == 1
    assert (folder / "calls").read_text().split() == ["check", "weights", "sleep", "weights"]
