"""Data, runs of the command, and files of a store, shared by the long loops."""

import json
import os
import subprocess
import time
from contextlib import suppress

import psutil
from helpers.commands import COMMAND, allow_interrupts

from segprep import Workers, preprocess
from segprep.store.metadata import INPUT_STAMP

WORKERS = 2
SECONDS = 120
"""Timeout of a run; far more than it needs."""
ORPHAN_SECONDS = 10
"""Time that the processes of a run may outlive it."""


def write_data(folder, masks=60):
    """COCO file of large masks, five to a shard."""
    return write_squares(folder, [(900, 900 + 100 * (number % 6)) for number in range(masks)], 300)


def write_squares(folder, sizes, side):
    """COCO file of masks of these (height, width), each with two rectangles of width `side` that lie ten pixels apart."""
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
    """Start the command in a new session, which identifies all its processes."""
    allow_interrupts()
    return subprocess.Popen(
        [COMMAND, "weights", str(data), str(root), "--workers", str(WORKERS), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(process):
    """Exit code and stderr of a run, once it has ended."""
    stderr = process.communicate(timeout=SECONDS)[1]
    return process.returncode, stderr


def run_command(data, root):
    """Run the command to its end."""
    status, stderr = outcome(start(data, root))
    assert status == 0, f"exit code {status}: {stderr}"


def run_here(data, root):
    """Run in this process, which is faster than the command and writes the same store."""
    preprocess(data, root, workers=Workers(processes=1))


def undisturbed(data, root):
    """Files of the store that an undisturbed run writes, and its duration in seconds."""
    run_here(data, root.with_name("compiled.zarr"))  # the first run may have to compile the kernels
    started = time.monotonic()
    run_command(data, root)
    return files(root), time.monotonic() - started


def files(root):
    """Contents of every file of a store, hidden ones too, by relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_none_hidden(root, case):
    """No temporary file of a run is left."""
    left = [path for path in root.rglob(".*") if path.is_file() and path != root / INPUT_STAMP]
    assert not left, f"{case}: hidden files are left: {left}"


def family(process):
    """All live processes of a run, even after the run itself has ended."""
    members = []
    for candidate in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(candidate.pid) == process.pid:
                members.append(candidate)
    return members


def assert_no_orphans(process):
    """No process of an ended run is left."""
    _, alive = psutil.wait_procs(family(process), timeout=ORPHAN_SECONDS)
    assert not alive, f"orphans: {alive}"
