"""One image file per instance, as in the Data Science Bowl 2018: <image>/masks/*.png, and similar layouts."""

import re
from collections.abc import Iterator

from segprep.errors import OptionError
from segprep.masks.classes import class_table
from segprep.masks.mask import Problem
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import named_few
from segprep.readers._instance_files import ImageFiles, images_in
from segprep.readers._instance_ref import InstancePngRef
from segprep.readers._mask_folders import NO_MASK, OTHERS, folder_name, others, unread
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find folders <image>/masks/*.png with one PNG per instance, or masks/<image>/*.png beside images/.

    Images may lie up to four folders deep. The pixels of a PNG, BMP or GIF that are not 0 are its instance; an alpha channel
    does not count, and of a palette the index does. Of a grey JPEG (.jpg, .jpeg) they are those of at least 128.

    A folder whose ``images/`` holds several files is not an image (its ``masks/`` holds label images); the given folder
    itself is an image if ``images/`` holds one file and ``masks/`` several. Beside ``images/`` with that one file,
    ``masks/<class>/*.png`` gives the classes. Beside ``images/<image>.*`` there may also be

    - ``masks/<image>/*.png`` or ``masks/<image>/<class>/*.png``,
    - ``masks/<image>_<number>.png``, ``<image>_<class>_<number>.png``, ``<image>_<class>.png`` and the like, if most belong
      to an image (that of the longest name that fits), and at least one image has several.

    Masks of Label Studio, ``task-1-annotation-2-by-3-tag-<class>-0.png``, need no images.
    """
    images = images_in(path) if path.is_dir() else []
    if not images:
        return None
    if options.class_pattern is not None:
        images = _named(images, options.class_pattern)
    names = sorted({name for image in images for _, name in image.files})
    code_of = {name: code for code, name in enumerate(names, start=1)}
    refs = [
        InstancePngRef(*with_split(key), folder, tuple((file, code_of[name]) for file, name in files), options, image)
        for key, folder, files, image in sorted(images, key=lambda image: image.key)
        if folder is not None
    ]
    classes = class_table([(None, name) for name in names])
    return MaskSet("instance-png", classes, tuple(refs), tuple(_problems(path, images)), _notices(path, images))


def _problems(root: AnyPath, images: list[ImageFiles]) -> Iterator[tuple[str, Problem]]:
    """Images without a folder of masks, and what is not read in those folders."""
    if bare := [image.key for image in images if image.folder is None]:
        yield folder_name(root, root), Problem(NO_MASK, named_few(bare), left_out=False)
    taken: dict[AnyPath, set[AnyPath]] = {}
    for file in (image.folder / name for image in images if image.folder is not None for name, _ in image.files):
        taken.setdefault(file.parent, set()).add(file)
    for file in (image.image for image in images if image.image is not None):
        taken.get(file.parent, set()).add(file)  # images may lie beside their masks
    for folder, files in taken.items():
        yield from ((folder_name(root, folder), problem) for problem in unread(folder, files))


def _notices(root: AnyPath, images: list[ImageFiles]) -> tuple[tuple[str, Problem], ...]:
    """Notices of images with an empty folder of masks, and of other files among the masks."""
    empty = [image.key for image in images if image.folder is not None and not image.files]
    held = {(image.folder, name.rpartition("/")[0]) for image in images if image.folder for name, _ in image.files}
    unread_files = [name for folder in sorted({folder / part for folder, part in held}) for name in others(folder)]
    found = (("images without instances are empty masks", empty), (OTHERS, unread_files))
    return tuple((folder_name(root, root), Problem(kind, named_few(names), False)) for kind, names in found if names)


def _named(images: list[ImageFiles], pattern: str) -> list[ImageFiles]:
    """Images whose instances have the classes that a pattern finds in the names of their files."""
    found = {file: re.search(pattern, file) for image in images for file, _ in image.files}
    if not any(found.values()):
        raise OptionError(f"class_pattern={pattern!r}: matches no name of a file, such as {next(iter(found))!r}")
    name_of = {file: match["class"] or NO_CLASS if match else NO_CLASS for file, match in found.items()}
    return [image._replace(files=tuple((file, name_of[file]) for file, _ in image.files)) for image in images]


READER = Reader("instance-png", find, is_general=True)
