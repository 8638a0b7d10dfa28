"""Place of each mask in a store that was updated, kept a second time: unlike that in a new store, no data set shows it."""

from collections.abc import Sequence

import msgspec
import numpy as np

from segprep.store.layout import Layout
from segprep.store.schema import BucketInfo
from segprep.store.tables import Tables, decode_keys, layout_of

PLACES = "key/records/places"
"""Path of the `Places` of a store that was updated."""
PLACE_TABLES = ("key", "digest", "bucket", "row", "split", "fold")
"""Tables that `Places` repeats."""


class Places(msgspec.Struct, frozen=True):
    """Key, digest, bucket, row, split and fold of each mask, in the order of the tables."""

    keys: list[str]
    digests: list[bytes]
    bucket: list[int]
    row: list[int]
    split: list[int]
    fold: list[int]

    @classmethod
    def of(cls, tables: Tables) -> "Places":
        """Places from the tables of a store."""
        keys, digests, *others = (np.asarray(tables[name]) for name in PLACE_TABLES)
        return cls(decode_keys(keys), [bytes(row) for row in digests], *(table.tolist() for table in others))

    def layout(self, buckets: Sequence[BucketInfo]) -> Layout:
        """Layout of the store whose buckets these are."""
        return layout_of(buckets, np.array(self.bucket, np.int64), np.array(self.row, np.int64))


def encode_places(tables: Tables) -> bytes:
    """Bytes of the places from the tables of a store."""
    return msgspec.msgpack.encode(Places.of(tables))


def decode_places(data: bytes) -> Places | None:
    """Places from their bytes; None unless the lists have one length."""
    try:
        places = msgspec.msgpack.decode(data, type=Places)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    lengths = {len(getattr(places, name)) for name in Places.__struct_fields__}
    return places if len(lengths) == 1 else None
