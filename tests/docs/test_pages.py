"""The pages of docs/ and the README are true: commands run, images are those of the script, nothing is left out."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from benchmarks.worker_memory import SIDES, rows_of
from click.testing import CliRunner
from helpers.buckets import make_bucket, upload
from helpers.commands import COMMAND, commands_by_name, finished
from helpers.consoles import consoles
from PIL import Image

from segprep import preprocess
from segprep.cli import log
from segprep.cli.commands import main
from segprep.cli.documents import DOCUMENTS
from segprep.cli.failures import Kind
from segprep.cli.weights import weights
from segprep.store.metadata import read_info as info_of
from segprep.targets import TARGETS
from segprep.targets.class_weights import FORMULAS
from segprep.targets.weights import IMAGE_RULES, PRESETS

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in [*DOCS, ROOT / "README.md"]}
FORMULAS_PAGE = PAGES["docs/formulas.md"]
CLUSTERS_PAGE = PAGES["docs/clusters.md"]
OTHER_PAGES = [
    name
    for name, page in PAGES.items()
    if name not in ("docs/formulas.md", "docs/clusters.md", "docs/json.md", "README.md")
    and re.search("^```(bash|console|python)", page, re.M)
]
"""Pages with blocks that run in one test each."""
WITHOUT_BLOCKS = {"changelog", "contributing", "errors", "index", "reference", "reference-training", "scale"}
SECONDS = 300
"""Timeout of the commands of a block; far more than they need."""
FIGURES = ROOT / "docs" / "images"
ONE_STEP = 4  # of 255 in the colour maps, for the last digit of a float


def blocks(page):
    """Language and text of each block, in order."""
    return re.findall(r"^```(bash|console|python|yaml)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def block_with(text):
    """The block of the page about clusters that holds a text."""
    (block,) = [each for _, each in blocks(CLUSTERS_PAGE) if text in each]
    return block


def in_shell(script, folder, **environment):
    """A script run to its end by bash, with this Python, its segprep, and a srun that runs what it is given at once."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "srun").chmod(0o755)
    path = os.pathsep.join([str(tools), str(COMMAND.parent), os.environ["PATH"]])
    environment |= {"PATH": path, "PYTHONPATH": str(ROOT / "tests")}
    process = finished(["bash", "-euo", "pipefail", "-c", script], cwd=folder, seconds=SECONDS, **environment)
    assert process.returncode == 0, process.stderr
    return process


def commands(page):
    """Arguments of each command line of segprep."""
    lines = [line for language, text in blocks(page) if language == "bash" for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("segprep ")]


def without_times(text):
    """Text without the durations in it, which differ from run to run."""
    return re.sub(r"(\d+ h )?(\d+ min )?\d+(\.\d+)? (s|min)\b", "? s", text)


def follow(name, names):
    """Arguments and result of each command of a page, run in order; its Python runs between them, in one namespace.

    A command of a console block must print what the block shows below it.
    """
    results = []
    for language, text in blocks(PAGES[name]):
        if language == "python":
            exec(compile(text, name, "exec"), names)  # noqa: S102 - our own page
        elif language == "console":
            for line, shown in consoles(text):
                results.append((line, CliRunner().invoke(main, shlex.split(line)[1:])))
                assert without_times(results[-1][1].stdout) == without_times(shown), line
        else:
            results += [(args, CliRunner().invoke(main, args)) for args in commands(f"```bash\n{text}```")]
            log.stop()  # as the end of the process does
    return results


def options_of(command):
    """Options of a command, in full."""
    return {option for param in command.params for option in param.opts if option.startswith("--")}


def shown_figures(name):
    """Figures that a page shows."""
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGES[name])
    return [(ROOT / name).parent / path for path in shown]


def colours(path):
    with Image.open(path) as image:
        return np.array(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    subprocess.run([sys.executable, ROOT / "examples" / "draw_maps.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Folder in which docs/formulas.md was followed from top to bottom, results of its commands, and its Python names."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", folder / "examples")
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        results = follow("docs/formulas.md", names)
    return folder, results, names


def test_every_command_of_the_formulas_runs(followed):
    _, results, _ = followed
    assert [args for args, _ in results] == commands(FORMULAS_PAGE)
    assert len(results) > 30
    failed = [(args, result.output, result.exception) for args, result in results if result.exit_code != 0]
    assert failed == []


def test_all_pages_but_these_have_blocks():
    others = {f"docs/{name}.md" for name in WITHOUT_BLOCKS} | {
        "docs/formulas.md",
        "docs/clusters.md",
        "docs/json.md",
        "README.md",
    }
    assert set(PAGES) - set(OTHER_PAGES) == others


@pytest.mark.slow
@pytest.mark.usefixtures("object_store")
@pytest.mark.parametrize("name", OTHER_PAGES)
def test_every_block_of_other_pages_runs(name, tmp_path, monkeypatch):
    if name == "docs/buckets.md":
        upload(ROOT / "examples" / "coins", make_bucket("cells") / "coins")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    if "import torch" in PAGES[name]:
        pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")
    for args, result in follow(name, {}):
        assert result.exit_code == 0, (args, result.output, result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["scheduler.json", "tls.json"])
def test_a_cluster_started_as_on_the_page_does_the_work(file, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    script = ["trap 'kill $(jobs -p); wait' EXIT"]
    for line in block_with(f"127.0.0.1:0 --scheduler-file {file}\ndask worker").splitlines():
        if line.startswith("dask "):
            script.append(f"{sys.executable} -m {line} 2> /dev/null &")
        elif line.startswith("segprep "):
            script += [
                f"{sys.executable} -c 'from helpers import clusters; clusters.wait_for_workers(\"{file}\", 2)'",
                line,
            ]
        else:
            script.append(line)
    ended = in_shell("\n".join(script), tmp_path)
    assert ": 1 mask, 24 instances; " in ended.stdout
    assert "warning" not in ended.stderr


@pytest.fixture
def data(varied, tmp_path):
    """Folder ``data`` with masks of several shards, as the page has it."""
    return shutil.copytree(varied, tmp_path / "data")


def completed_as_in_one_run(data, line, files_of):
    """Run the command that completes a store; it is then the one that a single run makes."""
    store = data.parent / "out.zarr"
    before = files_of(store)
    assert info_of(store).status == "incomplete"
    in_shell(line, data.parent)
    preprocess(data, data.parent / "undisturbed.zarr")
    return before.keys() <= files_of(store).keys() and files_of(store) == files_of(data.parent / "undisturbed.zarr")


@pytest.mark.slow
def test_the_slurm_script_writes_parts_and_a_last_job_completes_them(data, tmp_path, files_of):
    script = block_with("#SBATCH --array=1-8")
    assert "\nparts=8 " in script
    for job in ("3", "1"):
        in_shell(script, tmp_path, SLURM_ARRAY_TASK_ID=job)
    (line,) = re.findall(r'--wrap "(.*)"', block_with("--parsable segprep.sbatch"))
    assert completed_as_in_one_run(data, line, files_of)


@pytest.mark.slow
def test_the_kubernetes_job_writes_parts_and_a_last_run_completes_them(data, tmp_path, files_of):
    spec = yaml.safe_load(block_with("completionMode: Indexed"))["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    shell, option, script = container["command"]
    assert (shell, option, script.rpartition("/")[2]) == ("sh", "-c", str(spec["completions"]))
    for index in ("0", "7"):
        in_shell(script, tmp_path, JOB_COMPLETION_INDEX=index)
    (line,) = re.findall(r"run `(segprep weights data out.zarr)` once more", CLUSTERS_PAGE)
    assert completed_as_in_one_run(data, line, files_of)


def test_the_page_about_json_runs_with_jq_and_python(tmp_path):
    shown = []
    for language, text in blocks(PAGES["docs/json.md"]):
        if language == "python":
            (tmp_path / "page.py").write_text(text)
            shown.append(in_shell(f"{sys.executable} page.py", tmp_path).stdout)
        elif "jq" not in text or shutil.which("jq"):
            shown.append(in_shell(text, tmp_path).stdout)
    assert "6 masks, " in "".join(shown) or not shutil.which("jq")
    assert "input: nowhere: no such file or folder\n" in "".join(shown)


def test_the_page_about_json_has_every_schema_and_kind_of_error():
    page = PAGES["docs/json.md"]
    assert re.findall(r"^\| `([\w-]+)` \| [^|]+ \| \d[^|]* \|$", page, re.MULTILINE) == list(DOCUMENTS)
    named = {
        kind for cell in re.findall(r"^\| (`\w+`.*?) \| \d", page, re.MULTILINE) for kind in re.findall(r"\w+", cell)
    }
    assert {*get_args(Kind)} - {"other"} <= named


def test_python_of_the_page_about_clusters_is_python():
    (block,) = [text for language, text in blocks(CLUSTERS_PAGE) if language == "python"]
    compile(block, "docs/clusters.md", "exec")


def test_options_on_the_page_about_clusters_exist():
    lines = re.findall(r"segprep weights [^`\n]*", CLUSTERS_PAGE)
    named = {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    assert named >= {"--part", "--scheduler", "--workers"}
    assert named <= options_of(weights)


def test_the_table_of_memory_has_the_rows_that_the_script_measures():
    rows = re.findall(r"^\| (\d+)x\1 \| (\d+) \| \d+ \| \d+ \|$", CLUSTERS_PAGE, re.MULTILINE)
    assert [(int(side), int(masks)) for side, masks in rows] == [(side, rows_of(side)) for side in SIDES]


@pytest.mark.slow
def test_the_script_measures_the_memory_of_a_worker():
    script = ROOT / "tests" / "benchmarks" / "worker_memory.py"
    ended = subprocess.run([sys.executable, script, "1024"], capture_output=True, text=True, check=True)
    (weights_alone, everything) = re.search(
        r"^\| 1024x1024 \| 8 \| (\d+) \| (\d+) \|$", ended.stdout, re.MULTILINE
    ).groups()
    assert 50 < int(weights_alone) < int(everything) < 2000


def test_the_page_makes_the_discs_of_the_figures(followed):
    folder, _, _ = followed
    script: dict[str, object] = {"__name__": "draw_maps", "__file__": str(ROOT / "examples" / "draw_maps.py")}
    exec((ROOT / "examples" / "draw_maps.py").read_text(encoding="utf-8"), script)  # noqa: S102 - our own script
    with Image.open(folder / "discs.png") as image:
        np.testing.assert_array_equal(np.array(image), script["discs"]())


def test_the_boundary_loss_is_the_one_of_the_page(followed):
    _, _, names = followed
    assert f"it is {names['boundary_loss']:.2f} if the prediction is perfect" in FORMULAS_PAGE
    assert f"and {names['distance'].mean():.2f} if all is foreground" in FORMULAS_PAGE


@pytest.mark.parametrize("formula", FORMULAS)
def test_class_weights_of_the_coins_are_those_of_the_table(formula, followed):
    folder, _, _ = followed
    result = CliRunner().invoke(main, ["classes", str(folder / "coins.zarr"), "--formula", formula])
    background, coin = (float(number) for number in result.stdout.splitlines()[0].strip("[]").split(","))
    assert re.search(rf"^\| `{formula}` \|.*\| {background:.3g}, {coin:.3g} \|$", FORMULAS_PAGE, re.MULTILINE)


@pytest.mark.parametrize(("pixels", "seam"), [(0, "1.00"), (1, "9.35"), (2, "7.07")])
def test_weight_of_the_seam_is_the_one_of_the_page(pixels, seam, followed):
    folder, _, names = followed
    weight = names["segprep"].open(folder / f"separate{pixels}.zarr")[0]["weights"][28, 42]
    assert f"{weight:.2f}" == seam
    assert re.search(rf"weight is {seam}|weighs {seam}", FORMULAS_PAGE)


def test_splits_have_the_sizes_of_the_page(followed):
    _, results, _ = followed
    lines = [result.stdout.strip() for args, result in results if args[0] == "split"]
    assert lines == ["tiles.zarr: train 12, val 6, test 6"] * 2
    warned = ["fitted to the former train split" in result.stderr for args, result in results if args[0] == "split"]
    assert warned == [True, False]


def test_pages_show_every_figure_and_no_other():
    shown = {path.resolve() for name in PAGES for path in shown_figures(name)}
    assert shown == set(FIGURES.iterdir())


def test_script_draws_the_same_figures_and_no_other(redrawn):
    assert sorted(path.name for path in redrawn.iterdir()) == sorted(path.name for path in FIGURES.iterdir())


@pytest.mark.parametrize("path", sorted(FIGURES.iterdir()), ids=lambda path: path.name)
def test_script_draws_the_same_pixels(path, redrawn):
    assert path.stat().st_size < 100_000
    kept, again = colours(path), colours(redrawn / path.name)
    assert kept.shape == again.shape
    assert np.abs(kept - again).max() <= ONE_STEP


@pytest.mark.parametrize(
    "option", sorted({option for command in commands_by_name().values() for option in options_of(command)})
)
def test_every_option_is_documented(option):
    assert any(re.search(rf"(?<![\w-]){option}(?![\w-])", page) for page in PAGES.values())


IN_TABLES = [
    shlex.split(line)[1:] for line in re.findall(r"\| `(segprep [^`]+)` \|$", PAGES["README.md"], re.MULTILINE)
]


@pytest.mark.parametrize("arguments", [*commands(PAGES["README.md"]), *IN_TABLES], ids=" ".join)
def test_every_command_of_the_first_page_is_one(arguments):
    name, *rest = arguments
    assert commands_by_name()[name].make_context(name, rest)


@pytest.mark.parametrize("name", [*FORMULAS, *IMAGE_RULES, *PRESETS, *(target.name for target in TARGETS)])
def test_every_formula_preset_and_target_is_explained(name):
    assert f"`{name}`" in FORMULAS_PAGE


def test_links_within_the_repository_lead_somewhere():
    for name, page in PAGES.items():
        for target, anchor in re.findall(r"(?<!!)\[[^]]+\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page):
            linked = (ROOT / name).parent / target if target else ROOT / name
            assert linked.is_file(), target
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert not anchor or anchor in anchors, anchor
