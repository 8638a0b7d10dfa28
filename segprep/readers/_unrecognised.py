"""Reasons why no reader recognises some data: what is there, what is broken or missing, and the folder that may be meant."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from segprep.errors import InputError, escape_controls, some
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, listing
from segprep.readers._json import decode_file, first_character, mapped
from segprep.readers._reader import MaskSet, Reader

FORMATS = "the command 'segprep formats' lists all layouts that are read"

_JSON = (".json", ".geojson")
_FOLDERS = 40
"""Most folders that are looked into, the upper ones first."""
_FILES = 5
"""Most files that are tried one by one."""
_GROUPS = 3
"""Most kinds of files that are named."""
_MASK_WORDS = ("annotation", "gt", "label", "mask", "seg")
"""Words in the name of a folder of masks, whose layout is too general to be looked for in each folder."""

_NOT_READ = (
    ((".nii", ".nii.gz", ".mha", ".nrrd"), "a volume; volumes are not supported yet, export 2-D slices as PNG or TIFF"),
    ((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"), "an archive; unpack it and give the folder"),
    ((".dcm",), "DICOM, which is not read; export 2-D label images as PNG or TIFF"),
    ((".h5", ".hdf5", ".hdf", ".ilp"), "HDF5, which is not read; export label images as TIFF or NPY"),
    ((".mat",), "MATLAB's format, which is not read; save each label image as NPY or TIFF, with scipy.io.loadmat"),
    ((".roi",), "ImageJ's regions, which are not read; save them in Fiji as a label image"),
    ((".npz",), "a NumPy archive without images X and masks y; save both in it, or each label image as NPY or TIFF"),
    ((".tfrecord", ".tfrecords", ".lmdb", ".mdb", ".parquet", ".arrow", ".pkl", ".pickle", ".pt", ".pth"),
     "a container that is not read; save each label image as NPY or TIFF"),
    ((".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".lif", ".nd2", ".oib", ".oir", ".vsi"),
     "an image of a microscope; give the label images that were made from it"),
    ((".zarr",), "a Zarr group of no known content; OME-Zarr has its masks in labels/, whose metadata list them"),
)  # fmt: skip
"""Ends of names, and what such a file or folder is."""

_JSON_KEYS = {
    "coco": ("images", "annotations", "categories"),
    "labelme": ("shapes", "imageHeight", "imageWidth"),
    "segment-anything": ("image", "annotations"),
}
"""Keys at the top of a JSON file, by format."""


class _Folder(NamedTuple):
    """Content of one folder, and its name relative to the data."""

    name: str
    path: AnyPath
    folders: list[AnyPath]
    files: list[AnyPath]


def unrecognised(
    path: AnyPath, readers: Sequence[Reader], find: Callable[[Reader, AnyPath], MaskSet | None]
) -> InputError:
    """Error of three lines for data that none of `readers` recognises; `find` asks one of them about a path."""
    folders = list(islice(_walk(path), _FOLDERS)) if path.is_dir() else []
    files = [file for folder in folders for file in folder.files] or ([] if folders else [path])
    reason = _inside(folders[1:], readers, find) or _broken(path, files, readers, find)
    reason = reason or _not_read(path, folders, files) or _lacking(folders) or _unknown_json(path, files)
    last = f"{readers[0].name} reads {readers[0].layout}" if len(readers) == 1 else FORMATS
    return InputError(*filter(None, [f"{path}: no known layout{_contents(path, folders)}", reason]), last)


def _walk(top: AnyPath) -> Iterator[_Folder]:
    """Folders from the top downwards, level by level."""
    level = [top]
    while level:
        below: list[AnyPath] = []
        for path in level:
            inside = listing(path)
            yield _Folder("" if path == top else f"{name_in(top, path)}/", path, inside.folders, inside.files)
            below += [folder for folder in inside.folders if folder.suffix != ".zarr"]
        level = below


def _contents(path: AnyPath, folders: list[_Folder]) -> str:
    """Kinds of files, the most frequent first, as in ``: 120 PNG in a/ and 3 JSON``."""
    if not path.is_dir():
        return ""
    groups = Counter((_kind(file), folder.name) for folder in folders for file in folder.files)
    if not groups:
        return f": no file in {len(folders)} folders" if len(folders) > 1 else ": the folder is empty"
    named = [f"{count} {kind}{f' in {name}' * bool(name)}" for (kind, name), count in groups.most_common(_GROUPS)]
    rest = len(groups) - _GROUPS
    more = f" and {rest} more kind{'s' * (rest > 1)}" * (rest > 0)
    return f": {', '.join(named)}{more}" + ", and more folders" * (len(folders) == _FOLDERS)


def _kind(file: AnyPath) -> str:
    return "NIfTI" if file.name.lower().endswith(".nii.gz") else file.suffix[1:].upper() or "without suffix"


def _broken(
    top: AnyPath, files: list[AnyPath], readers: Sequence[Reader], find: Callable[[Reader, AnyPath], MaskSet | None]
) -> str | None:
    """Reason why a file of a format that describes itself cannot be read."""
    texts = [file for file in files if file.suffix.lower() in {*_JSON, ".xml", ".csv", ".npz"}]
    for file in texts[:_FILES]:
        if file.suffix.lower() in _JSON and (reason := _json_reason(file)) is not None:
            return f"{_name(top, file)}: {reason}"
        for reader in readers:
            if not reader.is_general:
                try:
                    find(reader, file)
                except InputError as error:
                    return f"nearest is {reader.name}: {error}"
    return None


def _json_reason(file: AnyPath) -> str | None:
    """Fault of a JSON file, or what it lacks to be of the nearest format."""
    text = mapped(file)
    if not (end := text[-64:].rstrip()[-1:]):
        return "the file is empty"
    if first_character(text) == b"{" and end != b"}":
        return f"not valid JSON: ends at byte {len(text)}; copy or export it again"
    try:
        keys = _keys(file)
    except InputError as error:
        return str(error).removeprefix(f"{file}: ")
    present = {form: [key for key in form_keys if key in keys] for form, form_keys in _JSON_KEYS.items()}
    nearest = max(present, key=lambda form: len(present[form]) / len(_JSON_KEYS[form]))
    missing = [key for key in _JSON_KEYS[nearest] if key not in present[nearest]]
    if 2 * len(present[nearest]) > len(_JSON_KEYS[nearest]) and missing:
        return f"has {' and '.join(present[nearest])} as {nearest}, but no {' and no '.join(missing)}"
    return None


def _keys(file: AnyPath) -> list[str]:
    """Keys at the top of a JSON file; none if it is no object."""
    if first_character(mapped(file)) != b"{":
        decode_file(file, msgspec.Raw, "JSON file")
        return []
    return [escape_controls(key[:40]) for key in decode_file(file, dict[str, msgspec.Raw], "JSON file")]


def _value(file: AnyPath) -> str:
    """Kind of a JSON value without keys, by its first character."""
    first = first_character(mapped(file)).decode()
    kinds = {"{": "an object without keys", "[": "a list", '"': "a string", "t": "true", "f": "false", "n": "null"}
    return kinds.get(first, "a number") + ("" if first == "{" else ", not an object")


def _unknown_json(top: AnyPath, files: list[AnyPath]) -> str | None:
    """Content of the first JSON file, which is sound but of no known layout."""
    file = next((file for file in files if file.suffix.lower() in _JSON), None)
    if file is None:
        return None
    what = f"an object with the keys {some(keys, most=5)}" if (keys := _keys(file)) else _value(file)
    return f"{_name(top, file)}: JSON of no known layout: {what}"


def _name(top: AnyPath, path: AnyPath) -> str:
    return path.name if path == top else name_in(top, path)


def _not_read(top: AnyPath, folders: list[_Folder], files: list[AnyPath]) -> str | None:
    """First file or folder in a format that is not read."""
    for path in (*files, *(child for folder in folders for child in folder.folders)):
        for ends, what in _NOT_READ:
            if path.name.lower().endswith(ends):
                return f"{_name(top, path)}: {'ImageJ regions, in ' * path.name.startswith('RoiSet')}{what}"
    return None


def _lacking(folders: list[_Folder]) -> str | None:
    """The one thing that the nearest layout lacks, judged by names of folders and files."""
    names = {path.name.lower() for folder in folders for path in folder.folders}
    files = [file for folder in folders for file in folder.files]
    suffixes = {file.suffix.lower() for file in files}
    if "jpegimages" in names and "segmentationclass" not in names and ".xml" in suffixes:
        return "nearest is voc: Annotations/*.xml has boxes alone; there is no SegmentationClass/ with masks"
    if "rgb" in names and "gt" in names:
        return "nearest is SYNTHIA: GT/LABELS/*.png has classes and instances in channels; save one channel as label images"
    texts = {file.stem for file in files if file.suffix.lower() == ".txt"}
    if any(file.stem in texts for file in files if file.suffix.lower() in IMAGE_SUFFIXES):
        return "nearest is yolo: polygons are read from labels/**/*.txt beside images/; boxes alone are no masks"
    if suffixes and suffixes <= IMAGE_SUFFIXES and not any(word in name for name in names for word in _MASK_WORDS):
        return (
            "only images, and no folder of masks; label images are read from a folder, or from labels/ or masks/ in it"
        )
    return None


def _inside(
    folders: Iterable[_Folder], readers: Sequence[Reader], find: Callable[[Reader, AnyPath], MaskSet | None]
) -> str | None:
    """Folder that can be read."""
    for folder in folders:
        here = [path.name.lower() for path in (folder.path, *folder.folders)]
        is_of_masks = any(word in name for name in here for word in _MASK_WORDS)
        asked = [reader for reader in readers if not reader.is_general or is_of_masks]
        if names := [reader.name for reader in asked if _recognises(reader, folder.path, find)]:
            return f"{folder.name} in it is {' or '.join(names)}; give {folder.path}"
    return None


def _recognises(reader: Reader, path: AnyPath, find: Callable[[Reader, AnyPath], MaskSet | None]) -> bool:
    """True if a reader recognises a path without an error."""
    try:
        return find(reader, path) is not None
    except InputError:
        return False
