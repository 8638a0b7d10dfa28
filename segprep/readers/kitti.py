"""KITTI semantic instance segmentation: 16-bit PNG files in instance/, beside image_2/ or semantic/.

A value is 256 times the class plus the instance; the classes, and which of them are evaluated, are those of Cityscapes.
"""

from segprep.paths.anypath import AnyPath
from segprep.readers._kitti import instance_masks
from segprep.readers._reader import MaskSet, Reader, ReadOptions


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find KITTI: 16-bit instance/*.png (256 class + instance) beside image_2/ or semantic/, up to four folders deep.

    Classes that Cityscapes does not evaluate are ignored, and so are groups of things (instance 0) unless `options` make
    a group an instance. Values that only fit KITTI-360 are another format.
    """
    return instance_masks("kitti", path, options)


READER = Reader("kitti", find)
