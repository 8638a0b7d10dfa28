"""What docs/ says is true: its commands run, its pictures are those of the script, and nothing is left out."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from buckets import make_bucket, upload
from click.testing import CliRunner
from PIL import Image

from segprep.class_weights import FORMULAS
from segprep.cli.commands import main
from segprep.cli.weights import weights
from segprep.products import PRODUCTS
from segprep.products.weights import IMAGE_RULES, PRESETS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in [*DOCS, ROOT / "README.md"]}
FORMULAS_PAGE = PAGES["docs/formulas.md"]
PICTURES = ROOT / "docs" / "images"
OPTIONS = [option for param in weights.params for option in param.opts if option.startswith("--")]
ONE_STEP = 4  # of 255, in the colour maps: what the last digit of a float may change


def blocks(page):
    """Language and text of each block, in order."""
    return re.findall(r"^```(bash|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def commands(page):
    """Arguments of each command line of segprep."""
    lines = [line for language, text in blocks(page) if language == "bash" for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("segprep ")]


def named_pictures(name):
    """Pictures that a page shows."""
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
    """Folder in which somebody has followed docs/formulas.md from top to bottom, and what each command gave."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", folder / "examples")
    results, names = [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, text in blocks(FORMULAS_PAGE):
            if language == "python":
                exec(compile(text, "docs/formulas.md", "exec"), names)  # noqa: S102 - our own page
            else:
                results += [(args, CliRunner().invoke(main, args)) for args in commands(f"```bash\n{text}```")]
    return folder, results, names


def test_every_command_of_the_formulas_runs(followed):
    _, results, _ = followed
    assert [args for args, _ in results] == commands(FORMULAS_PAGE)
    assert len(results) > 30
    failed = [(args, result.output, result.exception) for args, result in results if result.exit_code != 0]
    assert failed == []


@pytest.mark.usefixtures("object_store")
def test_every_command_of_other_pages_runs(tmp_path, monkeypatch):
    upload(ROOT / "examples" / "coins", make_bucket("cells") / "coins")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    for path in DOCS:
        for args in commands(PAGES[path.relative_to(ROOT).as_posix()]) if path.name != "formulas.md" else []:
            result = CliRunner().invoke(main, args)
            assert result.exit_code == 0, (args, result.output, result.exception)
        for language, text in blocks(PAGES[f"docs/{path.name}"]) if path.name == "buckets.md" else []:
            if language == "python":
                exec(compile(text, path.name, "exec"), {})  # noqa: S102 - our own page


def test_the_page_makes_the_discs_of_the_pictures(followed):
    folder, _, _ = followed
    script: dict[str, object] = {"__name__": "draw_maps", "__file__": str(ROOT / "examples" / "draw_maps.py")}
    exec((ROOT / "examples" / "draw_maps.py").read_text(encoding="utf-8"), script)  # noqa: S102 - our own script
    with Image.open(folder / "discs.png") as image:
        np.testing.assert_array_equal(np.array(image), script["discs"]())


def test_the_boundary_loss_of_the_page_is_the_one_it_says(followed):
    _, _, names = followed
    assert f"it is {names['boundary_loss']:.2f} if the prediction is perfect" in FORMULAS_PAGE
    assert f"and {names['distance'].mean():.2f} if all is foreground" in FORMULAS_PAGE


@pytest.mark.parametrize("formula", FORMULAS)
def test_class_weights_of_the_coins_are_those_of_the_table(formula, followed):
    folder, _, _ = followed
    result = CliRunner().invoke(main, ["classes", str(folder / "coins.zarr"), "--formula", formula])
    background, coin = (float(number) for number in result.stdout.splitlines()[0].strip("[]").split(","))
    assert re.search(rf"^\| `{formula}` \|.*\| {background:.3g}, {coin:.3g} \|$", FORMULAS_PAGE, re.MULTILINE)


@pytest.mark.parametrize(("pixels", "seam"), [(0, 1.29), (1, 9.16), (2, 6.87)])
def test_weight_of_the_seam_is_the_one_of_the_page(pixels, seam, followed):
    folder, _, names = followed
    found = names["segprep"].open(folder / f"separate{pixels}.zarr")[0]["weights"][28, 42]
    assert f"{found:.2f}" == f"{seam}"
    assert re.search(rf"weight is {seam}|weighs {seam}", FORMULAS_PAGE)


def test_splits_of_the_page_have_the_sizes_it_says(followed):
    _, results, _ = followed
    lines = [result.stdout.strip() for args, result in results if args[0] == "split"]
    assert lines == ["tiles.zarr: train 12, val 6, test 6"] * 2
    warned = ["fitted on the former train split" in result.stderr for args, result in results if args[0] == "split"]
    assert warned == [True, False]


def test_pages_show_every_picture_and_no_other():
    shown = {path.resolve() for name in PAGES for path in named_pictures(name)}
    assert shown == set(PICTURES.iterdir())


def test_script_draws_the_same_pictures_and_no_other(redrawn):
    assert sorted(path.name for path in redrawn.iterdir()) == sorted(path.name for path in PICTURES.iterdir())


@pytest.mark.parametrize("path", sorted(PICTURES.iterdir()), ids=lambda path: path.name)
def test_script_draws_the_same_pixels(path, redrawn):
    assert path.stat().st_size < 100_000
    kept, again = colours(path), colours(redrawn / path.name)
    assert kept.shape == again.shape
    assert np.abs(kept - again).max() <= ONE_STEP


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_weights_is_documented(option):
    assert any(re.search(rf"(?<![\w-]){option}(?![\w-])", page) for page in PAGES.values())


@pytest.mark.parametrize("name", [*FORMULAS, *IMAGE_RULES, *PRESETS, *(product.name for product in PRODUCTS)])
def test_every_formula_preset_and_product_is_explained(name):
    assert f"`{name}`" in FORMULAS_PAGE


def test_links_within_the_repository_lead_somewhere():
    for name, page in PAGES.items():
        for target, anchor in re.findall(r"(?<!!)\[[^]]+\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page):
            linked = (ROOT / name).parent / target if target else ROOT / name
            assert linked.is_file(), target
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert not anchor or anchor in anchors, anchor
