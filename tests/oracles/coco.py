"""COCO's own code, run as a script: ``python coco.py in.json out.npz``.

It runs in a separate process, because it trusts its input and may crash.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np


def answers(folder, **questions):
    """Answers of the child to questions; see `main`."""
    asked, answered = folder / "asked.json", folder / "answered.npz"
    asked.write_text(json.dumps(questions), encoding="utf-8")
    subprocess.run([sys.executable, __file__, asked, answered], check=True, timeout=300)
    with np.load(answered) as arrays:
        return dict(arrays)


def main(asked, answered):
    """Write the bitmaps of runs and of polygons, flat and one after another, and the strings of the former, by line."""
    from pycocotools import mask as coco  # noqa: PLC0415 - needed in the child alone

    questions = json.loads(Path(asked).read_text(encoding="utf-8"))
    decoded = [coco.decode(string) for string in questions.get("strings", [])]
    listed = [coco.frPyObjects(each, *each["size"]) for each in questions.get("lists", [])]
    drawn = [
        coco.decode(coco.merge(coco.frPyObjects(each["parts"], *each["size"])))
        for each in questions.get("polygons", [])
    ]
    np.savez(
        answered,
        strings=_flat(decoded),
        lists=_flat([coco.decode(each) for each in listed]),
        polygons=_flat(drawn),
        encoded=np.array("\n".join(_strings(decoded))),
    )


def _strings(bitmaps):
    """Compressed strings; they have no line breaks."""
    from pycocotools import mask as coco  # noqa: PLC0415

    return [coco.encode(np.asfortranarray(each))["counts"].decode() for each in bitmaps]


def _flat(bitmaps):
    """All pixels, row by row."""
    return np.concatenate([np.zeros(0, bool), *(each.ravel().astype(bool) for each in bitmaps)])


if __name__ == "__main__":
    main(*sys.argv[1:])
