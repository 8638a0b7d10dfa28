"""Damages of the objects of a store."""

from random import Random

from segprep.store.metadata import INPUT_STAMP, MANIFEST, ROOT_COPY

KINDS = (
    "shard",
    "record",
    "metadata of an array",
    "metadata of a bucket",
    "metadata of the instances",
    "metadata of a table",
    "chunk of a table",
    "metadata of the root",
    "list of the objects",
    "copy of the root",
)


def kinds_of(root):
    """Paths of all objects of a store by kind."""
    kinds = {kind: [] for kind in KINDS}
    files = (path for path in root.rglob("*") if path.is_file() and path != root / INPUT_STAMP)
    for path in sorted(path.relative_to(root).as_posix() for path in files):
        kinds[_kind(path)].append(path)
    return kinds


def _kind(path):
    special = {
        "zarr.json": "metadata of the root",
        "instances/zarr.json": "metadata of the instances",
        MANIFEST: "list of the objects",
        ROOT_COPY: "copy of the root",
    }
    if path in special:
        return special[path]
    in_bucket = path[0].isdigit()
    if path.endswith("zarr.json"):
        return (
            ("metadata of a bucket" if path.count("/") == 1 else "metadata of an array")
            if in_bucket
            else "metadata of a table"
        )
    if "/records/" in path:
        return "record"
    return "shard" if in_bucket else "chunk of a table"


def flip(path, bit):
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def zero(path, start, length):
    """Overwrite a block of a file with zeros."""
    data = bytearray(path.read_bytes())
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


def cut(path, size):
    """Truncate a file."""
    path.write_bytes(path.read_bytes()[:size])


def append(path, data):
    """Append to a file."""
    path.write_bytes(path.read_bytes() + data)


def swap(first, second):
    """Swap the contents of two files."""
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def _size(path):
    return path.stat().st_size


FAULTS = {
    "delete": lambda path: path.unlink(),
    "cut off the last byte": lambda path: cut(path, _size(path) - 1),
    "cut in half": lambda path: cut(path, _size(path) // 2),
    "empty": lambda path: cut(path, 0),
    "append a byte": lambda path: append(path, b"\0"),
    "append a line's end": lambda path: append(path, b"\n"),
    "flip a bit": lambda path: flip(path, 4 * _size(path)),
    "flip a high bit": lambda path: flip(path, 8 * (_size(path) // 2) + 7),
    "flip the last bit": lambda path: flip(path, 8 * _size(path) - 1),
    "make a block zeros": lambda path: zero(path, _size(path) // 3, 16),
    "make all zeros": lambda path: zero(path, 0, _size(path)),
}
SAME_SIZE = ("flip a bit", "flip a high bit", "flip the last bit", "make a block zeros", "make all zeros")


def any_fault(root, random: Random):
    """Damage a store at random; description of the damage."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path != root / INPUT_STAMP]
    before = {path: path.read_bytes() for path in files}
    while True:
        damage = _any_fault(list(before), random)
        if any(not path.is_file() or path.read_bytes() != data for path, data in before.items()):
            return damage


def _any_fault(paths, random: Random):
    path, other = random.sample(paths, 2)
    size = _size(path)
    faults = {
        "delete": path.unlink,
        "cut": lambda: cut(path, random.randrange(size)),
        "append": lambda: append(path, random.randbytes(random.randint(1, 9))),
        "flip": lambda: flip(path, random.randrange(8 * size)),
        "zero": lambda: zero(path, random.randrange(size), random.randint(1, size)),
        "swap": lambda: swap(path, other),
    }
    name = random.choice(sorted(faults))
    faults[name]()
    return f"{name} {path}" + (f" and {other}" if name == "swap" else "")
