"""Listing folders of the user: sorted, without hidden files, and never out of the folder."""

from typing import NamedTuple

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath, scanned

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of files that hold a picture of some kind."""

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class Listing(NamedTuple):
    """Visible folders and files of one folder, each sorted by name."""

    folders: list[AnyPath]
    files: list[AnyPath]

    def with_suffix(self, *suffixes: str) -> list[AnyPath]:
        """Files whose names end so, in either case."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def named(self, *names: str) -> list[AnyPath]:
        """Folders of these names, in either case."""
        return [folder for folder in self.folders if folder.name.lower() in names]


def listing(folder: AnyPath) -> Listing:
    """Content of `folder`; links are left out, because they may lead out of it or in a circle.

    Raises
    ------
    InputError
        Where the folder cannot be listed.
    """
    try:
        folders, files = scanned(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from error
    return Listing(_visible(folders), _visible(files))


def below(folder: AnyPath) -> list[Listing]:
    """Contents of a folder and of all folders in it."""
    inside = listing(folder)
    return [inside, *(each for child in inside.folders for each in below(child))]


def _visible(places: list[AnyPath]) -> list[AnyPath]:
    """Those that are neither hidden nor litter, by name."""
    return sorted((each for each in places if _is_visible(each.name)), key=lambda each: each.name)


def start_of(file: AnyPath, count: int) -> bytes:
    """First bytes of a file: one more than there may be tells that it is too large.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(count)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error


def _is_visible(name: str) -> bool:
    """Whether a name is neither hidden nor the litter of a file manager."""
    return not name.startswith(".") and name.lower() not in _CLUTTER
