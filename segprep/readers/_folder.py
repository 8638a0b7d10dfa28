"""Listing folders of the user: sorted, without hidden files, and never out of the folder."""

import os
from pathlib import Path
from typing import NamedTuple

from segprep.errors import InputError

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes of files that hold a picture of some kind."""

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class Listing(NamedTuple):
    """Visible folders and files of one folder, each sorted by name."""

    folders: list[Path]
    files: list[Path]

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """Files whose names end so, in either case."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def named(self, *names: str) -> list[Path]:
        """Folders of these names, in either case."""
        return [folder for folder in self.folders if folder.name.lower() in names]


def listing(folder: Path) -> Listing:
    """Content of `folder`; links are left out, because they may lead out of it or in a circle.

    Raises
    ------
    InputError
        Where the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as scan:
            entries = sorted((entry for entry in scan if _is_visible(entry.name)), key=lambda entry: entry.name)
            folders = [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            files = [folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from error
    return Listing(folders, files)


def _is_visible(name: str) -> bool:
    """Whether a name is neither hidden nor the litter of a file manager."""
    return not name.startswith(".") and name.lower() not in _CLUTTER
