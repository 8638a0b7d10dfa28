"""Compare the data of two stores byte for byte: ``python tests/endurance/compare_stores.py STORE OTHER``.

Shards and chunks of tables are compared; metadata (``zarr.json``), records, the manifest and hidden files are not, since
names of attributes may differ between versions. Exit code 1 if anything differs.

Stores made before ``--class-weights none`` became the default have ``inverse``: compare them with runs that give it.
"""

import sys
from pathlib import Path


def data_files(store):
    """Bytes of each shard and each chunk of a table, by its path in the store."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(Path(store).rglob("*"))
        if path.is_file() and "c" in path.relative_to(store).parts and not path.name.startswith(".")
    }


def main(store, other):
    """Print the number of files compared and those that differ; True if none does."""
    mine, theirs = data_files(store), data_files(other)
    different = sorted(path for path in mine.keys() | theirs.keys() if mine.get(path) != theirs.get(path))
    shards = sum("x" in path.partition("/")[0] for path in mine)
    print(
        f"{store}, {other}: {shards} shards and {len(mine) - shards} chunks of tables, "
        f"{sum(map(len, mine.values())):,} bytes; different: {', '.join(different[:5]) or 'none'}"
    )
    return bool(mine) and not different


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
