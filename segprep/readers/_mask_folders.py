"""Folders of masks: where they lie, the images beside them, and what else lies among them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from segprep.masks.mask import Problem
from segprep.masks.splits import FILES, FOLDERS
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, irregular, listing, named_few
from segprep.readers._image import PNG, TIFF
from segprep.readers._mask_image import EXACT, LOSSY
from segprep.readers._mask_names import MASK_WORDS, Match, Names, is_marked, label_studio

NPY = (".npy",)
MASKS = ("labels", "masks")
"""Folders of masks, also without images beside them."""
IMAGES = ("images", "img_dir", "imgs", "images_png", "image", "img", "original", "originals")
"""Folders of images."""
_MASKS_BESIDE = (
    *("ann_dir", "annotations", "masks_png", "labels_png", "mask", "label", "gt", "gts"),
    *("groundtruth", "ground_truth", "ground truth", "ground-truth", "seg", "segmentation", "segmentations"),
)
"""Folders of masks if there are images beside them."""
_KINDS = ((*PNG, *TIFF, *NPY), EXACT, LOSSY)
"""Suffixes of masks; a folder with some of one kind has no masks of the kinds behind it."""

OTHERS = "other files among the masks are not read"
UNREAD = "among the masks, but not read"
NO_IMAGE = "mask without an image of its name"
NO_MASK = "image without a mask"
SEVERAL = "several masks of one image"


@dataclass(frozen=True, eq=False)
class MaskFolder:
    """Masks of one folder, and the images that belong to them; none if there are none in the data set.

    `is_certain` tells that every file of the folder has its place, so that none is a problem.
    """

    folder: AnyPath
    files: list[AnyPath]
    images: list[AnyPath]
    is_certain: bool = False

    @cached_property
    def matches(self) -> dict[AnyPath, Match | None]:
        """Image of each mask by its name; a task of Label Studio stands for its image."""
        if self.files and all(tasks := [label_studio(file.stem) for file in self.files]):
            return dict(zip(self.files, tasks, strict=True))
        names = Names.of(image.stem for image in self.images)
        return {file: names.match(file.stem) for file in self.files}

    @property
    def has_instances(self) -> bool:
        """True if the masks are one for each instance or class: an image has several, and none has exactly its name."""
        found = [match for match in self.matches.values() if match is not None]
        is_exact = any(match.rest == "" and match.image == file.stem for file, match in self.matches.items() if match)
        most = max(Counter(match.image for match in found).values(), default=0)
        return most > 1 and not is_exact and 2 * len(found) > len(self.files)

    @cached_property
    def image_of(self) -> dict[AnyPath, AnyPath]:
        """Image file of each mask that has one."""
        by_stem = {image.stem: image for image in self.images}
        matches = {file: match.image for file, match in self.matches.items() if match is not None}
        return {file: by_stem[stem] for file, stem in matches.items() if stem in by_stem}

    def problems(self) -> Iterator[Problem]:
        """Label images and images without each other, several label images of one image, and what is not read."""
        if self.is_certain:
            return
        if self.images:
            images = set(self.image_of.values())
            yield from _one(NO_IMAGE, [file.name for file in self.files if file not in self.image_of])
            yield from _one(NO_MASK, [image.name for image in self.images if self.image_of and image not in images])
        stems = {file: self.image_of.get(file, file).stem for file in self.files}
        counts = Counter(stems.values())
        yield from _one(SEVERAL, [file.name for file in self.files if counts[stems[file]] > 1])
        yield from unread(self.folder, [*self.files, *self.images])


def mask_files(inside: Listing) -> list[AnyPath]:
    """Files of a folder that may be masks, all of one kind."""
    return next((files for kind in _KINDS if (files := inside.with_suffix(*kind))), [])


def mask_folders(inside: Listing) -> list[MaskFolder]:
    """Folders of masks in a folder, or of its splits in them, each with the images beside it."""
    images = inside.named(*IMAGES)
    for names in (MASKS, _MASKS_BESIDE if images else ()):
        folders = inside.named(*names)
        if found := [folder for folder in folders if mask_files(listing(folder))]:
            return [_with_images(folder, images) for folder in found]
        for folder in folders:
            parts = [part for part in listing(folder).named(*FOLDERS) if mask_files(listing(part))]
            if parts:
                return [_with_images(part, [*_parts_of(images, part), *images]) for part in parts]
    return _suffixed(inside)


def _suffixed(inside: Listing) -> list[MaskFolder]:
    """Folders such as ``train_masks/`` beside ``train/``."""
    return [
        _with_images(folder, images)
        for folder in inside.folders
        for stem, _, end in [folder.name.rpartition("_")]
        if end.lower() in MASK_WORDS and (images := inside.named(stem.lower())) and mask_files(listing(folder))
    ]


def masks_among_images(folder: AnyPath, inside: Listing) -> MaskFolder | None:
    """Masks in one folder with their images, such as ``a_mask.png``, or ``a.png`` beside ``a.jpg``; None if there are none."""
    files = inside.with_suffix(*IMAGE_SUFFIXES)
    stems = {file.stem for file in files}
    marked = [file for file in files if is_marked(file.stem, stems)]
    if marked:
        return MaskFolder(folder, marked, [file for file in files if file not in set(marked)])
    lossy = [file for file in files if file.suffix.lower() in LOSSY]
    stems, exact = {file.stem for file in lossy}, [file for file in files if file.suffix.lower() not in LOSSY]
    is_paired = exact and 2 * sum(file.stem in stems for file in exact) > len(exact)
    return MaskFolder(folder, exact, lossy) if is_paired else None


def _with_images(folder: AnyPath, images: Sequence[AnyPath]) -> MaskFolder:
    """Masks of a folder with the images of the first folder that has some."""
    found = (listing(images_folder).with_suffix(*IMAGE_SUFFIXES) for images_folder in images)
    return MaskFolder(folder, mask_files(listing(folder)), next(filter(None, found), []))


def _parts_of(images: Iterable[AnyPath], part: AnyPath) -> list[AnyPath]:
    """Folders of the same split in folders of images."""
    split = FOLDERS[part.name.lower()]
    return [
        child for folder in images for child in listing(folder).named(*FOLDERS) if FOLDERS[child.name.lower()] == split
    ]


def unread(folder: AnyPath, files: Iterable[AnyPath]) -> Iterator[Problem]:
    """Links and folders with a mask's name, and images of another kind, which lie among the masks and are not read."""
    inside, taken = listing(folder), set(files)
    files_of_kinds = inside.with_suffix(*IMAGE_SUFFIXES, *NPY)
    images = [file.name for file in files_of_kinds if file not in taken and not file.name.endswith("_seg.npy")]
    folders = [f"{child.name}/" for child in inside.folders if child.suffix.lower() in (*IMAGE_SUFFIXES, *NPY)]
    links = [
        f"{path.name} (a link or no file)"
        for path in irregular(folder)
        if path.suffix.lower() in (*IMAGE_SUFFIXES, *NPY)
    ]
    yield from _one(UNREAD, [*images, *folders, *links], left_out=True)


def others(folder: AnyPath) -> list[str]:
    """Names of the files in a folder of masks that are neither images nor arrays, nor the list of splits."""
    is_mask = (*IMAGE_SUFFIXES, *NPY)
    return [
        file.name for file in listing(folder).files if file.suffix.lower() not in is_mask and file.name not in FILES
    ]


def folder_name(root: AnyPath, folder: AnyPath) -> str:
    """Name of a folder in a data set, for a problem."""
    return root.resolve().name if folder == root else name_in(root, folder)


def _one(kind: str, names: list[str], *, left_out: bool = False) -> list[Problem]:
    return [Problem(kind, named_few(names), left_out)] if names else []
