"""Tiles of a store as text."""

from collections.abc import Iterator

from segprep.paths.anypath import AnyPath
from segprep.store.schema import StoreInfo
from segprep.store.tables import SOURCE, decode_keys, read_table


def tiles_lines(path: AnyPath, info: StoreInfo) -> Iterator[str]:
    """One line if the masks of a store are tiles: their size, and the number of masks that they were cut from."""
    tiling = info.tiling
    if tiling is None or tiling.tile is None:
        return
    sources = len(set(decode_keys(read_table(path, info, SOURCE))))
    overlap = f", overlap {tiling.tile_overlap}" if tiling.tile_overlap else ""
    empty = f", {tiling.keep_empty:.0%} of the empty ones kept" if tiling.keep_empty < 1 else ""
    yield f"tiles      {tiling.tile[0]}x{tiling.tile[1]}{overlap}{empty}; of {sources:,} mask{'s' * (sources != 1)}"
