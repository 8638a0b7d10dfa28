"""KITTI semantic instance segmentation: 16-bit PNG files in instance/, beside image_2/ or semantic/.

A value is 256 times the class plus the instance; the classes, and which of them are evaluated, are those of Cityscapes.

Reference: H. Alhaija et al.: Augmented Reality Meets Computer Vision, IJCV 2018; the benchmark's development kit.
"""

from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing, nearest
from segprep.readers._cityscapes import BARE_LABELS, EVALUATED, LABELS, UNKNOWN, check_own_classes
from segprep.readers._coded import CodedValues, coded_refs, is_wide
from segprep.readers._image import PNG
from segprep.readers._reader import MaskSet, Reader, ReadOptions

_BASE = 256
_BESIDE = ("image_2", "semantic", "semantic_rgb")
_DEPTH = 2
_MEANING = CodedValues(_BASE, LABELS, UNKNOWN, others={_BASE * id_: meaning for id_, meaning in BARE_LABELS.items()})


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find KITTI: 16-bit instance/*.png (256 class + instance) beside image_2/ or semantic/, up to two folders deep.

    Classes that Cityscapes does not evaluate are ignored, and so are groups of things (instance 0) unless `options` make
    a group an instance.
    """
    if not path.is_dir():
        return None
    folders = nearest(path, lambda inside: inside.named("instance"), depth=_DEPTH)
    folders = [folder for folder in folders if listing(folder.parent).named(*_BESIDE)]
    files = [file for folder in folders for file in listing(folder).with_suffix(*PNG)]
    if not any(is_wide(file, options) for file in files[:8]):
        return None
    check_own_classes(path)
    return MaskSet("kitti", class_table(EVALUATED), coded_refs(path, files, _MEANING, options))


READER = Reader("kitti", find)
