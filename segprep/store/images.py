"""Files of the images that the masks of a store belong to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from numpy.typing import NDArray

from segprep.errors import InputError, IntegrityError, OptionError
from segprep.paths.anypath import AnyPath, is_within, leads_out
from segprep.paths.bucket import BucketPath
from segprep.paths.files import exists
from segprep.store.schema import StoreInfo


@dataclass(frozen=True)
class ImageFolder:
    """Folder in which the paths of images are looked up.

    Attributes
    ----------
    folder : AnyPath
        The folder.
    shared : str
        Folder that all stored paths begin with; it may be missing from `folder`. Empty if there is none.
    """

    folder: AnyPath
    shared: str

    def file(self, name: str, key: str) -> AnyPath:
        """Image of a stored path, of the mask `key`; raise unless it exists in the folder, also behind links.

        Raises
        ------
        IntegrityError
            If the path leads out of any folder.
        InputError
            If the file is missing, or a link out of the folder.
        """
        if leads_out(name) or "\0" in name:
            raise IntegrityError(f"image {name!r} of {key!r} leads out of its folder; make the store again")
        inner = name.removeprefix(f"{self.shared}/") if self.shared else name
        files = [self.folder / part for part in dict.fromkeys((name, inner))]
        file = next(filter(_is_there, files), None)
        if file is None:
            missing = " and ".join(map(str, files))
            raise InputError(
                f"{missing}: no such image, which {key!r} belongs to; give the folder of the images, as images=DIR"
            )
        if not isinstance(file, BucketPath) and not is_within(file.resolve(), self.folder.resolve()):
            raise InputError(
                f"{file}: a link out of {self.folder}; give the folder with the files themselves as images="
            )
        return file


def image_folder(root: AnyPath, info: StoreInfo, images: AnyPath | None, names: Sequence[str]) -> ImageFolder:
    """Folder of the images of the store at `root`: `images`, else that of the data if it lies beside the store.

    Raises
    ------
    OptionError
        If neither is there.
    """
    folder = images or _beside(root, info)
    if folder is None:
        raise OptionError(
            f"{root}: the images are not beside the store; give their folder, as segprep.open(..., images=DIR)"
        )
    return ImageFolder(folder, _shared(names))


def last_or_new(last: dict[AnyPath, NDArray[Any]], file: AnyPath, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Image of a file: the last one, which `last` keeps for the tiles that are cut from it, or a new one."""
    kept = last.get(file)
    if kept is None:
        kept = read()
        last.clear()
        last[file] = kept
    return kept


def _beside(root: AnyPath, info: StoreInfo) -> AnyPath | None:
    """Folder of the data, or of the file of the data, if it has its name beside the store."""
    parent = root.absolute().parent
    name = info.images.folder if info.images else ""
    if not name or "/" in name or leads_out(name) or "\0" in name or not _is_there(parent / name):
        return None
    return parent / name if (parent / name).is_dir() else parent


def _shared(names: Sequence[str]) -> str:
    """Folder that all of these paths begin with, without those that are empty.

    Examples
    --------
    >>> _shared(["images/a.png", "images/b/c.png", ""]), _shared(["a.png", "b/a.png"])
    ('images', '')
    """
    folders = [PurePosixPath(name).parent.parts for name in names if name]
    first, last = min(folders, default=()), max(folders, default=())
    count = next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return "/".join(first[:count])


def _is_there(path: AnyPath) -> bool:
    """True if a path exists; False also if its name cannot be one."""
    try:
        return exists(path)
    except (OSError, ValueError):
        return False
