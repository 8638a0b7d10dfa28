"""Cellpose: one ``_seg.npy`` per image, in which its window saves masks, flows and settings as a pickled dictionary.

Unpickling runs what a file names. So the pickle is taken apart by `pickletools` and only its data are put together again:
no name in it is imported and nothing is called. Names other than those of NumPy's arrays and of paths are refused.
"""

import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import listing, start_of
from segprep.readers._arrays import read_header
from segprep.readers._image import PNG, TIFF, check_size
from segprep.readers._labels import mask_of_labels
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split

_END = "_seg.npy"
_MASKS = "_masks"
"""End of the names of Cellpose's label images, which are read in place of the state beside them."""
_MAX_BYTES = 2**30
_MOST = 2**20
"""Steps of a pickle; those of Cellpose have some hundreds."""
_START = 2**12
_RECONSTRUCT = frozenset({"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"})
_DTYPE = "numpy dtype"
_NAMES = (
    _RECONSTRUCT
    | {_DTYPE, "numpy ndarray", "numpy.core.multiarray scalar", "numpy._core.multiarray scalar"}
    | {f"{module} {kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")}
)
"""Modules and names that a file may have."""
_INTEGERS = re.compile("b1|[iu][1248]")


@dataclass
class _Object:
    """Object of a pickle: what would make it, its arguments, and its state."""

    name: object
    arguments: object
    state: object = None


@dataclass(frozen=True)
class CellposeNpyRef:
    """One file of state, whose path without ``_seg.npy`` is the key."""

    key: str
    split: str | None
    file: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Take the masks out of the file and number them without gaps."""
        values = masks_of(self.file, max_pixels=self.options.max_pixels)
        return mask_of_labels(str(self.file), values, self.options)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find Cellpose's *_seg.npy without *_masks.png beside them.

    One file is given itself, or all lie in the folder or in its train/, val/ and test/. Every value of ``masks``
    except 0 is an instance. Nothing in the file is executed. Where Cellpose also saved label images, these are read
    instead (label-image), unless one ``_seg.npy`` is given by itself.
    """
    root = path if path.is_dir() else path.parent
    files = _files_in(path) if path.is_dir() else [path] if path.name.lower().endswith(_END) else []
    if not any(map(_is_state, files)):
        return None
    names = (without_suffix(name_in(root, file))[: -len("_seg")] for file in files)
    refs = tuple(CellposeNpyRef(*with_split(name), file, options) for name, file in zip(names, files, strict=True))
    return MaskSet("cellpose-npy", class_table([(None, NO_CLASS)]), refs)


def masks_of(file: AnyPath, *, max_pixels: int) -> NDArray[Any]:
    """Masks in a file of state, shape (H, W), of any integer type or bool, none negative."""
    data = start_of(file, _MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise InputError(f"{file}: more than {_MAX_BYTES} bytes; save the masks as PNG or TIFF in Cellpose")
    try:
        stream = io.BytesIO(data)
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        (state,) = _array_state(_unpickled(file, stream))[4]
        shape, dtype, by_column, content = _array_state(state["masks"])[1:]
        values = _array(shape, dtype, by_column, content)
    except InputError:
        raise
    except Exception as error:  # the file may hold anything in place of what Cellpose saves
        reason = " ".join(f"{type(error).__name__} {error}".split())[:80]
        raise InputError(f"{file}: masks of Cellpose cannot be read: {reason}; save it again in Cellpose") from error
    while values.ndim > 2 and len(values) == 1:  # noqa: PLR2004 - height and width
        values = values[0]
    if values.ndim != 2:  # noqa: PLR2004
        size = " x ".join(map(str, values.shape))
        raise InputError(f"{file}: masks of {size}; volumes are not supported yet, so save one 2-D image per slice")
    check_size(str(file), (values.shape[0], values.shape[1]), max_pixels)
    if values.dtype.kind == "i" and (least := int(values.min())) < 0:
        if least < -1:
            raise InputError(f"{file}: the value {least}; masks are not negative, and 0 is the background")
        values = values.astype(np.int64) + 1  # the first versions of Cellpose saved the background as -1
    return values


def _array(shape: Any, dtype: Any, by_column: Any, content: Any) -> NDArray[Any]:
    """Array of integers from the parts of its pickle."""
    kind, order = dtype.arguments[0], dtype.state[1]
    if dtype.name != _DTYPE or not _INTEGERS.fullmatch(kind) or order not in {"<", ">", "|", "="}:
        raise ValueError(f"masks of type {kind!r:.20}, not integers")
    if not all(type(side) is int and side >= 0 for side in shape) or type(content) is not bytes:
        raise ValueError("an array without a shape or content")
    values = np.frombuffer(content, np.dtype(order + kind))
    if values.size != math.prod(shape):
        raise ValueError(f"{values.size} pixels for a shape of {math.prod(shape)}")
    return values.reshape(shape, order="F" if by_column else "C")


def _array_state(value: Any) -> tuple[Any, ...]:
    """Version, shape, type, order and content of an array in a pickle."""
    if not isinstance(value, _Object) or value.name not in _RECONSTRUCT or not isinstance(value.state, tuple):
        raise TypeError("not an array")
    _, _, _, _, _ = value.state
    return value.state


def _unpickled(file: AnyPath, stream: io.BytesIO) -> object:
    """Data of a pickle, with an `_Object` for each object in it; nothing is imported or called."""
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for step, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        name = operation.name
        if step == _MOST:
            raise InputError(f"{file}: a pickle of more than {_MOST} steps; save the masks as PNG or TIFF in Cellpose")
        if name == "MARK":
            outer.append(stack)
            stack = []
        elif name in _OF_MARK:
            items, stack = stack, outer.pop()
            _OF_MARK[name](stack, items)
        elif name in {"MEMOIZE", "BINPUT", "LONG_BINPUT"}:
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            stack.append(memo[argument])
        elif name in _VALUES:
            stack.append(argument)
        elif name == "STOP":
            return stack.pop()
        elif name in {"GLOBAL", "STACK_GLOBAL"}:
            stack.append(_checked(file, argument if name == "GLOBAL" else " ".join(_last(stack, 2))))
        else:
            _STEPS[name](stack)
    raise ValueError("no end")


def _checked(file: AnyPath, name: Any) -> Any:
    """Return the name that a pickle has; raise if it may not have it."""
    if name in _NAMES:
        return name
    raise InputError(
        f"{file}: its pickle names {name!r:.60}, which Cellpose does not save; save the masks as PNG or TIFF in Cellpose"
    )


def _last(stack: list[Any], count: int) -> list[Any]:
    """Take the last items off a stack."""
    items = stack[-count:]
    del stack[-count:]
    return items


def _set(stack: list[Any], items: list[Any]) -> None:
    """Put pairs of a key and a value into the dictionary on a stack."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str:  # hashing others, such as nested tuples, may exhaust the native stack
            raise TypeError("a key that is not text")
        stack[-1][key] = value


def _build(stack: list[Any]) -> None:
    """Give the object on a stack its state."""
    state = stack.pop()
    if not isinstance(stack[-1], _Object):
        raise TypeError("a state of no object")
    stack[-1].state = state


_VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)
"""Operations that are a value."""
_OF_MARK: dict[str, Callable[[list[Any], list[Any]], object]] = {
    "TUPLE": lambda stack, items: stack.append(tuple(items)),
    "APPENDS": lambda stack, items: stack[-1].extend(items),
    "SETITEMS": _set,
}
"""Operations on the items after the last mark."""
_STEPS: dict[str, Callable[[list[Any]], object]] = {
    "PROTO": lambda _: None,
    "FRAME": lambda _: None,
    "NONE": lambda stack: stack.append(None),
    "NEWTRUE": lambda stack: stack.append(True),
    "NEWFALSE": lambda stack: stack.append(False),
    "EMPTY_TUPLE": lambda stack: stack.append(()),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "EMPTY_DICT": lambda stack: stack.append({}),
    "TUPLE1": lambda stack: stack.append(tuple(_last(stack, 1))),
    "TUPLE2": lambda stack: stack.append(tuple(_last(stack, 2))),
    "TUPLE3": lambda stack: stack.append(tuple(_last(stack, 3))),
    "APPEND": lambda stack: stack[-2].append(stack.pop()),
    "SETITEM": lambda stack: _set(stack, _last(stack, 2)),
    "REDUCE": lambda stack: stack.append(_Object(*_last(stack, 2))),
    "BUILD": _build,
}
"""Operations on the stack, as many as NumPy's pickles need."""


def _is_state(file: AnyPath) -> bool:
    """True if a file is an array of one Python object, by its header."""
    start = io.BytesIO(start_of(file, _START))
    try:
        shape, _, dtype = read_header(str(file), start)
    except InputError:
        return False
    return bool(dtype.hasobject) and shape == ()


def _files_in(folder: AnyPath) -> list[AnyPath]:
    """Files of state in a folder without label images, else in its folders of splits."""
    inside = listing(folder)
    if inside.named("labels", "masks") or any(file.stem.endswith(_MASKS) for file in inside.with_suffix(*PNG, *TIFF)):
        return []
    if files := [file for file in inside.files if file.name.lower().endswith(_END)]:
        return files
    return [file for child in inside.named(*FOLDERS) for file in _files_in(child)]


READER = Reader("cellpose-npy", find, reads_one_file=True)
