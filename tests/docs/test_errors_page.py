"""Every message of the page of errors is in the source, and the commonest are what a command or a function prints."""

import ast
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import segprep
from segprep import errors
from segprep.cli.commands import main
from segprep.cli.spelling import in_options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)
GAP = "…"
COINS, COCO = "examples/coins", "examples/coins_coco"


def texts(node):
    """Text of a string of the source, with a gap for each value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(texts, parts))
    return GAP


@pytest.fixture(scope="module")
def nodes():
    """All nodes of the source."""
    files = [*(ROOT / "segprep").rglob("*.py"), *(ROOT / "cli").glob("*.py")]
    return [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]


def strings(nodes):
    """All strings among nodes."""
    return [texts(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr)]


@pytest.fixture(scope="module")
def templates(nodes):
    """All strings of the source."""
    return strings(nodes)


def pattern(message):
    """Expression of a heading, in which a gap stands for any text."""
    return re.compile(".*".join(map(re.escape, message.split(GAP))), re.DOTALL)


def test_there_are_headings_and_none_twice():
    assert len(MESSAGES) > 40
    assert len(MESSAGES) == len(set(MESSAGES)) == len(re.findall("^### ", PAGE, re.MULTILINE))


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_in_the_source(message, templates):
    assert max(map(len, message.split(GAP))) >= len(" masks")
    assert [text for text in templates if pattern(message).search(text)]


def test_what_four_places_or_more_say_is_on_the_page(nodes):
    """Of each message, the part before the remedy, which follows a semicolon."""
    said = Counter()
    for node in nodes:
        if isinstance(node, ast.Raise) and node.exc:
            facts = [text.split(";")[0] for text in strings(ast.walk(node.exc))]
            said.update({phrase.strip() for fact in facts for phrase in re.split(f"[{GAP}:,]", fact)})
    common = {phrase for phrase, places in said.items() if places >= 4 and " " in phrase}
    assert len(common) >= 5
    assert {phrase for phrase in common if not any(phrase in message for message in MESSAGES)} == NO_MESSAGES


NO_MESSAGES = {"instead of"}
"""Words between values."""


@pytest.mark.parametrize("message", MESSAGES)
def test_message_has_a_cause_and_a_remedy(message):
    entry = PAGE.split(f"### `{message}`\n")[1].split("\n### ")[0].split("\n## ")[0]
    assert entry.count("**Cause**") == entry.count("**Remedy**") == 1


def test_every_exit_code_of_a_class_is_on_the_page():
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SegprepError)
    ]
    codes = {kind.exit_code for kind in classes if kind is not errors.SegprepError}
    assert {int(code) for code in re.findall(r"\*\*Cause\*\* \((\d+)", PAGE)} == codes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with data sets and stores that are wrong in one way each."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copytree(ROOT / "examples", folder / "examples")
    coins = folder / COINS
    labels = coins / "labels" / "coins.png"
    for name in ("coins", "damaged"):
        segprep.preprocess(coins, folder / f"{name}.zarr", workers=1)
    shutil.rmtree(folder / "damaged.zarr" / "320x384" / "weights" / "c")
    segprep.preprocess(coins, folder / "part.zarr", part="1/2", workers=1)
    for name in ("texts", "edges", "cut", "renamed"):
        (folder / name).mkdir()
    (folder / "texts" / "a.txt").write_text("a")
    with Image.open(labels) as image:
        foreground = Image.fromarray((np.array(image) > 0).astype(np.uint8) * 255)
    foreground.resize((500, 400), Image.Resampling.BICUBIC).save(folder / "edges" / "a.png")
    for name in "ab":
        shutil.copy(labels, folder / "renamed" / f"{name}.png")
    (folder / "cut" / "a.png").write_bytes(labels.read_bytes()[:300])
    (folder / "boxes.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}], "categories": [{"id": 1, "name": "c"}],'
        ' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}]}'
    )
    (folder / "results.json").write_text('[{"image_id": 1, "category_id": 1, "score": 1, "bbox": [1, 1, 3, 3]}]')
    (folder / "short.json").write_text((folder / "boxes.json").read_text()[:60])
    (folder / "old.html").write_text("")
    return folder


PROVOKED = {
    "no such file or folder": "weights nowhere out.zarr",
    "no known layout": "weights texts out.zarr",
    "not valid JSON: …": "weights short.json out.zarr",
    "is a segprep store, made from …, not a data set; give the data set first, and the store second": "weights coins.zarr x",
    "not a label image: … values, which change from pixel to pixel as in a photograph or a probability map": (
        f"weights {COINS}/images out.zarr"
    ),
    "not a label image: … values, most of them on edges": "weights edges out.zarr",
    "cannot be read as …": "weights cut out.zarr",
    "nothing was written; …": "weights cut out.zarr",
    "pixels are more than …; raise the limit": f"weights {COCO} out.zarr --max-pixels 9",
    "has boxes, but no segmentation": "weights boxes.json out.zarr",
    "a list, as detectors write their results, is not ground truth": "weights results.json out.zarr",
    "must be from …": f"weights {COINS} out.zarr --sigma -1",
    "belongs to the formula effective-number": f"weights {COINS} out.zarr --class-weights dice --beta 0.5",
    "nothing would be left for training": f"weights {COINS} out.zarr --split 0,1,0",
    "of which … keeps few digits": f"weights {COINS} out.zarr --class-weights dice",
    "no truth for the predictions …; name each as its mask": "evaluate renamed coins.zarr",
    "exists with other settings: …; choose another name, or …": f"weights {COINS} coins.zarr --sigma 3",
    "exists with other masks: …; …, overwrite=True to replace the store, or …": "weights renamed coins.zarr",
    "exists and is not a segprep store; choose another name": f"weights {COINS} texts",
    "exists and is not a report of segprep; choose another name": "preview coins.zarr -o old.html",
    "not a segprep store: …": "info texts",
    "damaged: …. Repair it with: segprep verify … --repair DATA": "verify damaged.zarr",
}


@pytest.mark.parametrize("message", PROVOKED)
def test_command_prints_the_message_and_ends_with_its_code(message, data, monkeypatch):
    monkeypatch.chdir(data)
    result = CliRunner().invoke(main, PROVOKED[message].split(), standalone_mode=False)
    lines = in_options(str(result.exception)) + result.output
    assert pattern(in_options(message)).search(lines)
    entry = PAGE.split(f"### `{message}`\n")[1]
    code = int(re.search(r"\*\*Cause\*\* \((\d+)", entry)[1])
    assert code == getattr(result.exception, "exit_code", result.return_value)
