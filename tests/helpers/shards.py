"""Chunks of shards that are given as arrays."""

import numpy as np

from segprep.store.encoding import encode_image


def chunks_of(form, rows, pad=0):
    """Encoded chunks of a shard from its rows."""
    return {
        (*image, *at): data
        for image in np.ndindex(*rows.shape[:-2])
        for at, data in encode_image(form, rows[image], pad)
    }
