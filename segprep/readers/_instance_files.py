"""Which files are the instances of which image, in folders with one file per instance.

The layout must be inferred from names alone. So all layouts but ``<image>/masks/*.png`` and those of Label Studio are
recognised only beside images, whose names distinguish images from classes.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, listing
from segprep.readers._image import JPEG, PNG, TIFF
from segprep.readers._mask_folders import MASKS, MaskFolder, mask_files, mask_folders, masks_among_images
from segprep.readers._mask_names import NO_CLASS, Names

_DEPTH = 4
"""Folders below the given one in which images are searched."""
_KINDS = ((*PNG, *JPEG), (".bmp", ".gif", ".webp"))
"""Suffixes of files; a folder with some of the first kind has none of the second."""


class ImageFiles(NamedTuple):
    """Files of one image: its key, its folder, the name of each file with that of its class, and the image if there is one.

    An image without files has an empty folder of masks, or none.
    """

    key: str
    folder: AnyPath | None
    files: tuple[tuple[str, str], ...]
    image: AnyPath | None = None


def images_in(folder: AnyPath) -> list[ImageFiles]:
    """Images of the folder itself, else of the folders below; none if no image has a file."""
    found = list(_at(folder)) or list(_below(folder, folder, _DEPTH))
    return found if any(image.files for image in found) else []


def instance_folder(folder: MaskFolder) -> MaskFolder | None:
    """Folder with all its files of instances, PNG and JPEG alike; None if they are label images."""
    inside = listing(folder.folder)
    kinds = [files for kind in (*_KINDS, TIFF) if (files := inside.with_suffix(*kind))]
    files = kinds[0] if kinds and folder.folder.name.lower() in MASKS else folder.files
    found = replace(folder, files=files)
    return found if len(folder.images) != 1 and found.has_instances else None


def holds_instances(folder: AnyPath) -> bool:
    """True if the files in ``masks/`` of a folder are instances, not label images, judging by ``images/`` beside it."""
    return any(True for _ in _at(folder))


def _at(folder: AnyPath) -> Iterator[ImageFiles]:
    """Images of the folder itself."""
    inside = listing(folder)
    if divided := _divided("", folder, inside):
        yield from divided
    elif len(images := _images(inside)) == 1 and len(files := _files_of_one(inside)) > 1:
        yield ImageFiles(folder.resolve().name, inside.named(*MASKS)[0], files, images[0])


def _below(root: AnyPath, folder: AnyPath, depth: int) -> Iterator[ImageFiles]:
    """Images in folders below a folder."""
    for child in listing(folder).folders:
        inside, key = listing(child), name_in(root, child)
        images, masks = _images(inside), inside.named("masks")
        if divided := _divided(f"{key}/", child, inside):
            yield from divided
        elif len(images) <= 1 and (files := _files_of_one(inside)):
            yield ImageFiles(key, masks[0], files, next(iter(images), None))
        elif len(images) == 1 and not any(map(listing, masks)):
            yield ImageFiles(key, next(iter(masks), None), (), images[0])
        elif depth > 1:
            yield from _below(root, child, depth - 1)


def _divided(prefix: str, folder: AnyPath, inside: Listing) -> list[ImageFiles]:
    """Images of a folder whose masks are instances, by their names or by folders beside ``images/``."""
    folders = mask_folders(inside)
    if not folders:
        masks, images = inside.named("masks"), _images(inside)
        if masks and images:
            return _by_folder(prefix, listing(masks[0]), images)
        folders = [masks_among_images(folder, inside) or MaskFolder(folder, mask_files(inside), [])]
    found = [instances for part in folders if (instances := instance_folder(part)) is not None]
    return [image for part in found for image in _by_name(prefix, part)]


def _by_name(prefix: str, masks: MaskFolder) -> list[ImageFiles]:
    """Images of ``masks/<image>_<number>.png`` and the like; files that belong to no image are left out."""
    by_stem = {image.stem: image for image in masks.images}
    prefix += f"{masks.folder.name}/" if masks.folder.name.lower() in FOLDERS else ""
    found: dict[str, list[tuple[str, str]]] = {}
    for file, match in masks.matches.items():
        if match is not None:
            found.setdefault(match.image, []).append((file.name, match.class_name))
    bare = [stem for stem in by_stem if stem not in found] if any(stem in by_stem for stem in found) else []
    return [
        *(
            ImageFiles(f"{prefix}{stem}", masks.folder, tuple(named), by_stem.get(stem))
            for stem, named in found.items()
        ),
        *(ImageFiles(f"{prefix}{stem}", None, (), by_stem[stem]) for stem in bare),
    ]


def _by_folder(prefix: str, masks: Listing, images: list[AnyPath]) -> list[ImageFiles]:
    """Images of ``masks/<image>/``; none if a folder belongs to no image."""
    by_stem = {image.stem: image for image in images}
    held = {folder: files for folder in masks.folders if (files := _files_in(folder))}
    if not all(folder.name in by_stem for folder in held):
        return []
    found = [
        ImageFiles(f"{prefix}{folder.name}", folder, files, by_stem[folder.name]) for folder, files in held.items()
    ]
    missing = sorted(set(by_stem) - {folder.name for folder in held}) if held else []
    return found + [ImageFiles(f"{prefix}{stem}", None, (), by_stem[stem]) for stem in missing]


def _files_of_one(inside: Listing) -> tuple[tuple[str, str], ...]:
    """Files of one image and the names of their classes; folders are classes only if ``images/`` has the image."""
    folders, images = inside.named("masks"), _images(inside)
    if not folders:
        return ()
    files = _of_first_kind(listing(folders[0]))
    if not files:
        return _files_in(folders[0]) if images else ()
    names = Names.of(image.stem for image in images)
    named = []
    for file in files:
        match = names.match(file.stem)
        if match is None or not match.rest:
            return tuple((file.name, NO_CLASS) for file in files)
        named.append((file.name, match.class_name))
    return tuple(named)


def _files_in(folder: AnyPath) -> tuple[tuple[str, str], ...]:
    """Files of a folder, or of its folders of classes, with the names of their classes."""
    below = listing(folder)
    if files := _of_first_kind(below):
        return tuple((file.name, NO_CLASS) for file in files)
    return tuple(
        (f"{part.name}/{file.name}", part.name) for part in below.folders for file in _of_first_kind(listing(part))
    )


def _of_first_kind(inside: Listing) -> list[AnyPath]:
    """Files of instances in a folder."""
    return next((files for kind in _KINDS if (files := inside.with_suffix(*kind))), [])


def _images(inside: Listing) -> list[AnyPath]:
    """Files in the ``images/`` of a folder."""
    return [file for images in inside.named("images") for file in listing(images).with_suffix(*IMAGE_SUFFIXES)]
