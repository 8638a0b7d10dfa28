"""Images of the masks of a run: found beside the masks or in a given folder, or kept from the store."""

import warnings

from segprep.errors import InputError, OptionError, SegprepWarning, some
from segprep.paths.anypath import AnyPath
from segprep.readers import MaskSet, image_names
from segprep.runs.audit import StoreState
from segprep.runs.plan import KnownImages
from segprep.store.schema import ImagesInfo
from segprep.store.tables import IMAGE, SOURCE, decode_keys

NAMED = 3
"""Number of masks that a message names."""


def known_images(masks: MaskSet, data: AnyPath | None, source: str, images: AnyPath | None) -> KnownImages:
    """Images of masks in the folder `images`, or else in the data set, whose name is `source`; warn of those not found there.

    Raises
    ------
    OptionError
        If `images` is no folder.
    InputError
        If none of the masks has an image in the folder `images`.
    """
    if images is not None and not images.is_dir():
        raise OptionError(f"images='{images}': no such folder")
    found = image_names(masks, data, images)
    if images is not None:
        if not any(found.names):
            raise InputError(f"{images}: has no image of any of the {len(found.names):,} masks; their names must agree")
        _warn(images, len(found.names), found.missing, found.ambiguous)
    keys = (ref.key for ref in masks.refs)
    folder = source if images is None else images.absolute().name
    return KnownImages(
        dict(zip(keys, found.names, strict=True)),
        ImagesInfo("" if data is None and images is None else folder, images is not None),
    )


def kept_images(state: StoreState | None, digest: str) -> KnownImages | None:
    """Images of a store of the same masks that were found in a given folder; None if there are none."""
    if state is None or state.info.input != digest or state.info.images is None or not state.info.images.is_given:
        return None
    return stored_images(state)


def stored_images(state: StoreState) -> KnownImages | None:
    """Images of a store; None if it has no table of them, or that is damaged."""
    of = "key" if state.info.tiling is None else SOURCE
    if state.info.images is None or not (state.has_these_masks and state.is_intact(of, IMAGE)):
        return None
    keys, names = (decode_keys(state.table(name)) for name in (of, IMAGE))
    return KnownImages(dict(zip(keys, names, strict=True)), state.info.images)


def _warn(images: AnyPath, count: int, missing: tuple[str, ...], ambiguous: tuple[str, ...]) -> None:
    """Warn of the masks of which no image, or no certain one, was found in a folder."""
    for keys, words in ((missing, "have no image"), (ambiguous, "fit several images, or share one, so none is stored")):
        if keys:
            text = f"{images}: {len(keys):,} of {count:,} masks {words} ({some(keys, most=NAMED)})"
            warnings.warn(text, SegprepWarning, stacklevel=5)
