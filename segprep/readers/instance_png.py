"""One PNG or JPEG per instance, as in the Data Science Bowl 2018: <image>/masks/*.png, and similar layouts."""

import re

from segprep.errors import OptionError
from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.readers._instance_files import NO_CLASS, ImageFiles, InstancePngRef, images_in
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find folders <image>/masks/*.png with one PNG per instance, or masks/<image>/*.png beside images/.

    Images may lie up to four folders deep. The pixels of a PNG that are not 0 are its instance; an alpha channel does not
    count, and of a palette the index does. Of a grey JPEG (.jpg, .jpeg) they are those of at least 128.

    A folder whose ``images/`` holds several files is not an image (its ``masks/`` holds label images); the given folder
    itself is an image if ``images/`` holds one file and ``masks/`` several. Beside ``images/`` with that one file,
    ``masks/<class>/*.png`` gives the classes. Beside ``images/<image>.*`` there may also be

    - ``masks/<image>/*.png`` or ``masks/<image>/<class>/*.png``,
    - ``masks/<image>_<number>.png``, ``<image>_mask_<number>.png`` or ``<image>_<class>_<number>.png``, if each belongs
      to an image (that of the longest name that fits), and at least one image has several.
    """
    images = images_in(path) if path.is_dir() else []
    if not images:
        return None
    if options.class_pattern is not None:
        images = _named(images, options.class_pattern)
    names = sorted({name for image in images for _, name in image.files})
    code_of = {name: code for code, name in enumerate(names, start=1)}
    refs = [
        InstancePngRef(*with_split(key), folder, tuple((file, code_of[name]) for file, name in files), options)
        for key, folder, files in sorted(images)
    ]
    return MaskSet("instance-png", class_table([(None, name) for name in names]), tuple(refs))


def _named(images: list[ImageFiles], pattern: str) -> list[ImageFiles]:
    """Images whose instances have the classes that a pattern finds in the names of their files."""
    found = {file: re.search(pattern, file) for image in images for file, _ in image.files}
    if not any(found.values()):
        raise OptionError(f"class_pattern={pattern!r}: matches no name of a file, such as {next(iter(found))!r}")
    name_of = {file: match["class"] or NO_CLASS if match else NO_CLASS for file, match in found.items()}
    return [image._replace(files=tuple((file, name_of[file]) for file, _ in image.files)) for image in images]


READER = Reader("instance-png", find, is_general=True)
