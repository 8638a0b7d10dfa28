"""KITTI-360: 16-bit PNG files in instance/, beside semantic/.

A value is 1000 times the class plus the instance; the classes, and which of them are evaluated, are those of Cityscapes.
Garages are buildings, gates are fences, and small poles are poles; other classes of KITTI-360 alone are ignored.
"""

from segprep.paths.anypath import AnyPath
from segprep.readers._kitti import instance_masks
from segprep.readers._reader import MaskSet, Reader, ReadOptions


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find KITTI-360: 16-bit instance/*.png (1000 class + instance) beside semantic/, up to four folders deep.

    Groups of things (instance 0) are ignored unless `options` make a group an instance. Values that fit KITTI (256 class +
    instance) and not this are another format; where both fit, the format must be given.
    """
    return instance_masks("kitti360", path, options)


READER = Reader("kitti360", find)
