"""Journal of a scan: what it has found so far, so that a killed run resumes, and parts that start side by side share one scan.

It lies in a hidden folder of the store until this is complete, in one folder for each state of the input::

    .segprep-scan/
      1c8f.../                     `journal_name`: fingerprint of the input's files and of all that the results depend on
        auto-5b06...               results of some masks under a rule of instances, by one run

An object has a checksum and the compressed results, and its name is unique, so that runs never write the same one. Stores
may be damaged or made by others: results are decoded as typed data within bounds, and what is not as expected is ignored, so
that its masks are scanned again. Reasons why masks cannot be read are not kept: the network may be back in the next run.
"""

import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from segprep.errors import InputError, OptionError, OutputError
from segprep.masks.packed import PackedMask
from segprep.masks.stats import MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.files import SCAN, put, storage, storage_errors
from segprep.readers import MaskSet
from segprep.runs.entries import MOST_BYTES, decode_entries, encode_entries
from segprep.runs.settings import Rules
from segprep.store.layout import Part
from segprep.store.schema import VERSION, exact

INTERVAL, SHARE = 2, 0.05
"""Seconds between two objects, and share of the time of the scan so far if that is longer: a long scan makes some hundred."""
MOST_KEPT, MOST_PENDING = 2**29, 2**25
"""Bytes of masks that are kept from the scan to the writing, and of those that wait for the next object."""
ONE_RUN = Part(1, 1)
_NAME = re.compile("(?P<rule>auto|as-is|components|watershed)-[0-9a-f]{32}")
_CHECKSUM = 16


class Journal:
    """Results of scans: in memory, and in `folder` if one is given, from where runs of other parts read them.

    `packs` has masks that were read, by their keys: as many as `MOST_KEPT` bytes can hold.
    """

    def __init__(self, folder: AnyPath | None = None, n_classes: int = 0, part: Part = ONE_RUN) -> None:
        self.part = part
        self.packs: dict[str, PackedMask] = {}
        self._folder, self._n_classes = folder, n_classes
        self._stats: dict[str, dict[str, MaskStats]] = {}
        self._room = MOST_KEPT
        self._pending: dict[str, tuple[MaskStats, PackedMask | None]] = {}
        self._pending_bytes = 0
        self._known: set[str] = set()
        self._read()
        self._began = self._synced = time.monotonic()

    def stats(self, rule: str) -> dict[str, MaskStats]:
        """Statistics under a rule of instances, by keys; the dictionary grows with the scan."""
        return self._stats.setdefault(rule, {})

    def add(self, rule: str, key: str, stats: MaskStats, pack: PackedMask | None) -> None:
        """Keep a result."""
        kept = self._keep(rule, key, stats, pack)
        if self._folder is not None:
            self._pending[key] = stats, kept
            self._pending_bytes += len(stats.instance_rows) + (0 if kept is None else kept.size)

    def sync(self, rule: str, *, ends: bool = False) -> None:
        """Store new results, and read those of other parts, now and then and when a scan ends.

        A scan of less than `INTERVAL` seconds stores nothing.
        """
        if self._folder is None:
            return
        now = time.monotonic()
        is_due = now - self._synced >= max(INTERVAL, SHARE * (now - self._began))
        if is_due or (ends and self._known) or self._pending_bytes >= MOST_PENDING:
            self._write(rule)
            if self.part.parts > 1:
                self._read()
            self._synced = time.monotonic()
        elif ends:
            self._pending, self._pending_bytes = {}, 0

    def _keep(self, rule: str, key: str, stats: MaskStats, pack: PackedMask | None) -> PackedMask | None:
        """The mask, if there is room to keep it."""
        self.stats(rule)[key] = stats
        if pack is None or key in self.packs or pack.size > self._room:
            return None
        self.packs[key] = pack
        self._room -= pack.size
        return pack

    def _write(self, rule: str) -> None:
        """Put the pending results in the folder."""
        body = encode_entries(self._pending)
        self._pending, self._pending_bytes = {}, 0
        if body and self._folder is not None:
            name = f"{rule}-{uuid.uuid4().hex}"
            put(self._folder, name, _checksum(body) + body)
            self._known.add(name)

    def _read(self) -> None:
        """Read the objects that other runs have put in the folder since."""
        if self._folder is None:
            return
        paths = [
            path for path in _listed(self._folder)[1] if path.name not in self._known and _NAME.fullmatch(path.name)
        ]
        for path, body in zip(paths, storage(self._folder).map(_body, paths), strict=True):
            self._known.add(path.name)
            rule = path.name.rpartition("-")[0]
            for key, stats, pack in decode_entries(body, self._n_classes):
                checked = None if pack is None else replace(pack, n_classes=self._n_classes)
                self._keep(rule, key, stats, checked)


def journal_name(files: str, masks: MaskSet, rules: Rules) -> str:
    """Fingerprint of all that the results of a scan depend on; `files` is that of the input's files."""
    keys = [ref.key for ref in masks.refs]
    reading = [exact(rules.reading), exact(rules.instances), exact(rules.tiling), exact(rules.regions)]
    parts = [VERSION, files, masks.format, masks.classes, *reading, keys]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@contextmanager
def open_journal(root: AnyPath, name: str | None, n_classes: int, part: Part, *, fresh: bool) -> Iterator[Journal]:
    """Journal of a run at `root`, in memory alone if `name` is None.

    A run without a part removes journals of other names, all if `fresh`, and its own if it ends before anything is written
    since it refuses the input or the store. Runs of parts leave all of them, which others may use.
    """
    is_sole = part == ONE_RUN
    if is_sole:
        for folder in _listed(root / SCAN)[0]:
            if fresh or folder.name != name:
                with storage_errors(root):
                    storage(folder).remove_tree()
    elif fresh:
        name = None
    try:
        yield Journal(None if name is None else root / SCAN / name, n_classes, part)
    except (InputError, OptionError, OutputError):
        if is_sole:
            remove_journals(root)
        raise


def remove_journals(root: AnyPath) -> None:
    """Remove the folder of all journals, if there is one."""
    with storage_errors(root):
        storage(root / SCAN).remove_tree()


def _listed(folder: AnyPath) -> tuple[list[AnyPath], list[AnyPath]]:
    """Folders and files in a folder that need not exist."""
    with storage_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        folders, files = storage(folder).listed()
        return [*folders], [*files]
    return [], []


def _body(path: AnyPath) -> bytes:
    """Content of an object without its checksum; empty if it is damaged, too large, or removed meanwhile."""
    with suppress(OSError):
        data, size, _ = storage(path).read_end(MOST_BYTES)
        body = data[_CHECKSUM:]
        if size == len(data) and data[:_CHECKSUM] == _checksum(body):
            return body
    return b""


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM).digest()
