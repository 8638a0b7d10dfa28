"""Reference to one image whose instances are one file each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from segprep.errors import InputError
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.paths.anypath import AnyPath
from segprep.readers._beside import image_shape, size_problems
from segprep.readers._image import Foreground, check_size
from segprep.readers._mask_image import file_foreground
from segprep.readers._reader import ReadOptions, mask_from_instances


@dataclass(frozen=True)
class InstancePngRef:
    """Files of one image, relative to its folder, each with the class code of its instance, and the image for its size.

    `problems` are those of the image that its files do not show.
    """

    key: str
    split: str | None
    folder: AnyPath
    files: tuple[tuple[str, int], ...]
    options: ReadOptions
    image: AnyPath | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        """Files in the folder that `load` reads."""
        return tuple(self.folder / name for name, _ in self.files)

    def load(self) -> InstanceMask:
        """Read the instances in the order of their files; a file without foreground is left out."""
        if not self.files and self.image is not None:
            shape = image_shape(self.image)
            check_size(str(self.image), shape, self.options.max_pixels)
            return mask_from_instances(str(self.folder), shape, (), self.options)
        if not any((self.folder / name).is_file() for name, _ in self.files):
            raise InputError(f"{self.folder}: its files are gone; it had some when the data set was searched")
        first = self._foreground(self.files[0][0])
        found = chain(self.problems, size_problems(self.image, first.shape), self._found(first))
        return mask_from_instances(str(self.folder), first.shape, found, self.options)

    def _found(self, first: Foreground) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each file, or its problem; the first file is already read."""
        for number, (name, code) in enumerate(self.files):
            size, crop = self._foreground(name) if number else first
            if size != first.shape:
                raise InputError(
                    f"{self.folder / name}: {size[0]} x {size[1]} pixels, but {self.files[0][0]} has "
                    f"{first.shape[0]} x {first.shape[1]}; all must be of one size"
                )
            yield (code, crop) if crop is not None else Problem("no foreground", name)

    def _foreground(self, name: str) -> Foreground:
        """Pixels of the instance in a file."""
        return file_foreground(self.folder / name, max_pixels=self.options.max_pixels)
