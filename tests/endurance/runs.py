"""What the long loops have in common: data, runs of the command, and the files of a store."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress

import psutil
from helpers.commands import COMMAND

from segprep import Workers, preprocess
from segprep.store.metadata import INPUT_STAMP

WORKERS = 2
SECONDS = 120
"""No run of these takes as long."""
ORPHAN_SECONDS = 10
"""How long the processes of a run may outlive it."""


def write_data(folder, masks=60):
    """COCO file of so many masks, five to a shard, each of which takes a moment."""
    return write_squares(folder, [(900, 900 + 100 * (number % 6)) for number in range(masks)], 300)


def write_squares(folder, sizes, side):
    """COCO file of masks of these heights and widths, each with two rectangles that are so wide and lie ten pixels apart."""
    images = [{"id": n, "file_name": f"{n}.jpg", "height": h, "width": w} for n, (h, w) in enumerate(sizes)]
    annotations = [
        {"image_id": n, "category_id": 1, "segmentation": [[x, 8, x + side, 8, x + side, h - 8, x, h - 8]]}
        for n, (h, _) in enumerate(sizes)
        for x in (20, 30 + side)
    ]
    file = folder / "squares.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]})
    )
    return file


def start(data, root, *options):
    """Run in the background, in a session of its own, by which all its processes are known."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script: children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [COMMAND, "weights", str(data), str(root), "--workers", str(WORKERS), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(process):
    """Exit code of a run, once it has ended, and what it said on stderr."""
    said = process.communicate(timeout=SECONDS)[1]
    return process.returncode, said


def command(data, root):
    """Run the command to its end."""
    status, said = outcome(start(data, root))
    assert status == 0, f"exit code {status}: {said}"


def here(data, root):
    """Run in this process: sooner done than the command, and the store is the same wherever the work is done."""
    preprocess(data, root, workers=Workers(processes=1))


def undisturbed(data, root):
    """Files of the store of a run that nothing disturbs, and how many seconds it took."""
    here(data, root.with_name("compiled.zarr"))  # the first run may have to compile the kernels
    begun = time.monotonic()
    command(data, root)
    return files(root), time.monotonic() - begun


def files(root):
    """Every file of a store, hidden ones too, by its relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_none_hidden(root, case):
    """Of the files that a run has only while it lasts, none may be left."""
    left = [path for path in root.rglob(".*") if path.is_file() and path != root / INPUT_STAMP]
    assert not left, f"{case}: hidden files are left: {left}"


def family(process):
    """All processes of a run, whether it still runs or not."""
    found = []
    for each in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(each.pid) == process.pid:
                found.append(each)
    return found


def assert_no_orphans(process):
    """Of a run that has ended."""
    _, alive = psutil.wait_procs(family(process), timeout=ORPHAN_SECONDS)
    assert not alive, f"orphans: {alive}"
