"""Place of each mask in the store: buckets, rows, shards. Pure arithmetic.

One canvas for all masks would make every reader pay for the largest image, and one array per exact size would make
thousands of arrays. So masks whose sizes round up to the same canvas share a bucket; rounding has four steps per octave.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from segprep.errors import OptionError

Size = tuple[int, int]
"""Height and width in pixels."""

CHUNK_PIXELS = 2**20
"""Pixels of the largest canvas that is one chunk."""
CHUNK_SIDE = 512
"""Sides of the chunks of larger canvases."""
SHARD_PIXELS = 2**23
"""Approximate number of pixels in a shard, unless a single canvas is larger."""
HOLE = -1
"""Index of the mask in a row without one: that of a mask that an update has removed or moved."""


class Part(NamedTuple):
    """The shards that one of several runs writes: every `parts`-th, starting with the `number`-th, counted from 1.

    >>> [shard for shard in range(7) if Part(2, 3).has(shard)]
    [1, 4]
    """

    number: int
    parts: int

    @property
    def name(self) -> str:
        """Name that differs from those of the other parts."""
        return f"{self.number}-of-{self.parts}"

    def has(self, shard: int) -> bool:
        """True if a shard, counted from 0 over all buckets, belongs to this part."""
        return shard % self.parts == self.number - 1


class Shard(NamedTuple):
    """Consecutive rows of one bucket, the unit of work: index of the bucket, number of the shard, and the mask of each row."""

    bucket: int
    number: int
    masks: Sequence[int]

    @property
    def filled(self) -> list[int]:
        """Its masks, without the holes."""
        return [mask for mask in self.masks if mask != HOLE]


@dataclass(frozen=True)
class Bucket:
    """Masks that share a canvas, to which every row is padded at the lower right; index of the mask in each row, or `HOLE`."""

    canvas: Size
    masks: Sequence[int]

    @property
    def filled(self) -> int:
        """Number of its masks, without the holes."""
        return sum(mask != HOLE for mask in self.masks)

    @property
    def name(self) -> str:
        """Name of the bucket's group in the store, such as ``256x320``."""
        return f"{self.canvas[0]}x{self.canvas[1]}"

    @property
    def chunk(self) -> Size:
        """Height and width of a chunk, which holds one row."""
        height, width = self.canvas
        return self.canvas if height * width <= CHUNK_PIXELS else (min(height, CHUNK_SIDE), min(width, CHUNK_SIDE))

    @property
    def shard_shape(self) -> tuple[int, int, int]:
        """Rows, height and width of a shard, in complete chunks: it may extend beyond the canvas."""
        height, width = (-(-side // part) * part for side, part in zip(self.canvas, self.chunk, strict=True))
        return min(len(self.masks), max(1, SHARD_PIXELS // (height * width))), height, width

    def rows_of(self, channels: int) -> int:
        """Rows of a shard of a target with channels: fewer, so that it is not larger, in equal parts of other shards.

        >>> bucket = Bucket((512, 512), tuple(range(100)))
        >>> [bucket.rows_of(channels) for channels in (0, 1, 3, 80)]
        [32, 32, 8, 1]
        """
        rows = self.shard_shape[0]
        most = max(1, rows // max(1, channels))
        return next(part for part in range(most, 0, -1) if rows % part == 0 or rows == len(self.masks))


@dataclass(frozen=True)
class Layout:
    """All buckets, sorted by canvas."""

    buckets: tuple[Bucket, ...]

    @classmethod
    def fit(cls, sizes: Sequence[Size], *, canvas: Size | None = None) -> "Layout":
        """Layout of masks of these sizes: on one canvas, or on canvases that are their sizes rounded up.

        >>> [(bucket.name, bucket.masks) for bucket in Layout.fit([(250, 300), (20, 20), (256, 257)]).buckets]
        [('20x20', (1,)), ('256x320', (0, 2))]
        """
        height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
        if canvas and (height > canvas[0] or width > canvas[1]):
            raise OptionError(f"canvas={canvas}: too small for the masks; use at least canvas={(height, width)}")
        canvases = {size: canvas or (round_up(size[0]), round_up(size[1])) for size in set(sizes)}
        rows: dict[Size, list[int]] = {}
        for mask, size in enumerate(sizes):
            rows.setdefault(canvases[size], []).append(mask)
        return cls.of_rows(rows)

    @classmethod
    def of_rows(cls, rows: Mapping[Size, Sequence[int]]) -> "Layout":
        """Layout from the mask in each row of each canvas."""
        return cls(tuple(Bucket(size, tuple(masks)) for size, masks in sorted(rows.items())))

    def shards(self) -> Iterator[Shard]:
        """All shards, bucket by bucket."""
        for index, bucket in enumerate(self.buckets):
            rows = bucket.shard_shape[0]
            for number, start in enumerate(range(0, len(bucket.masks), rows)):
                yield Shard(index, number, bucket.masks[start : start + rows])


def round_up(side: int) -> int:
    """Smallest ``k 2^e`` with k in 4..7 that is at least `side`; sides up to 8 are not changed.

    >>> [round_up(side) for side in (1, 5, 9, 256, 257, 603, 1272)]
    [1, 5, 10, 256, 320, 640, 1280]
    """
    step = 1 << max(0, (side - 1).bit_length() - 3)
    return -(-side // step) * step
