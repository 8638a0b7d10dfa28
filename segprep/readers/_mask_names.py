"""Which image a mask belongs to, and which class it shows, by names alone."""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

NO_CLASS = "instance"
"""Name of the class of instances whose class is not given."""
MASK_WORDS = frozenset(
    (
        *(
            "ann",
            "annotation",
            "annotations",
            "class",
            "gt",
            "groundtruth",
            "label",
            "labels",
            "manual",
            "mask",
            "masks",
        ),
        *("object", "seg", "segmentation", "truth"),
    )
)
"""Words by which names of masks differ from those of their images."""
_IMAGE_WORDS = frozenset(["image", "images", "img", "imgs", "orig", "original", "photo", "raw"])
_NUMBERED = re.compile(r"_(?:(?P<name>.+)_)?[0-9]+")
"""End of the name of a file, after that of the image: a number, before it perhaps a class."""
_SEPARATORS = "_-. ("
_LABEL_STUDIO = re.compile(r"(?P<task>task-\d+-annotation-\d+)-by-\w+?-[^-]+-(?P<name>.+)-\d+")
"""Name of a brush mask that Label Studio exports: task, annotation, user, tag, class, and a number."""


class Match(NamedTuple):
    """Image that a mask belongs to, and what its name has after that of the image."""

    image: str
    rest: str

    @property
    def class_name(self) -> str:
        """Class in the name, such as ``leaf`` of ``a_class_leaf`` and ``a_leaf_1``."""
        if numbered := _NUMBERED.fullmatch(self.rest):
            name = numbered["name"] or ""
            return NO_CLASS if name.lower() in {"", "mask"} else name
        words = [word for word in re.split(r"[_\-. ()]+", self.rest) if word.isalpha()]  # others are mostly hashes
        while words and words[0].lower() in MASK_WORDS:
            del words[0]
        return "_".join(words) or NO_CLASS


class Names(NamedTuple):
    """Names of the images of a folder, without suffixes."""

    stems: frozenset[str]
    plain: dict[tuple[str, ...], str]

    @classmethod
    def of(cls, stems: Iterable[str]) -> "Names":
        """Names, and those of them that are unique without words such as ``image``."""
        found = frozenset(stems)
        plain: dict[tuple[str, ...], list[str]] = {}
        for stem in found:
            plain.setdefault(plain_words(stem), []).append(stem)
        return cls(found, {words: same[0] for words, same in plain.items() if words and len(same) == 1})

    def match(self, name: str) -> Match | None:
        """Image of a mask: of the same name, of the longest name that the mask's begins with, or but for words as ``mask``.

        Examples
        --------
        >>> names = Names.of(["a", "a_1", "image-7"])
        >>> [tuple(names.match(name) or ()) for name in ("a_1", "a_1_mask", "a_leaf", "mask_7", "b")]
        [('a_1', ''), ('a_1', '_mask'), ('a', '_leaf'), ('image-7', ''), ()]
        """
        ends = [len(name), *(end for end in range(len(name) - 1, 0, -1) if name[end] in _SEPARATORS)]
        stem = next((name[:end] for end in ends if name[:end] in self.stems), None) or self.plain.get(plain_words(name))
        if stem is None:
            return None
        return Match(stem, name[len(stem) :] if name.startswith(stem) else "")


def plain_words(name: str) -> tuple[str, ...]:
    """Words and numbers of a name without those for images and masks."""
    words = re.findall(r"[^\W\d_]+|\d+", name.lower())
    return tuple(word for word in words if word not in MASK_WORDS and word not in _IMAGE_WORDS)


def is_marked(name: str, stems: Collection[str]) -> bool:
    """True if a name is that of another file and a word for masks.

    >>> stems = {"a", "a_mask", "a_mask_1", "a_1"}
    >>> is_marked("a_mask", stems), is_marked("a_mask_1", stems), is_marked("a_1", stems)
    (True, True, False)
    """
    rests = [name[end:] for end in range(1, len(name)) if name[end] in _SEPARATORS and name[:end] in stems]
    return any(words[0] in MASK_WORDS for rest in rests if (words := re.findall(r"[^\W\d_]+", rest.lower())))


def label_studio(name: str) -> Match | None:
    """Task and class in the name of a mask of Label Studio.

    >>> label_studio("task-1-annotation-2-by-1-tag-leaf-0")
    Match(image='task-1-annotation-2', rest='_leaf_0')
    """
    found = _LABEL_STUDIO.fullmatch(name)
    return None if found is None else Match(found["task"], f"_{found['name']}_0")
