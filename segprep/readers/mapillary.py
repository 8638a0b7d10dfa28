"""Mapillary Vistas: config.json with the classes, and 16-bit PNG files in <split>/instances/.

A value is 256 times the class, which is its index in the configuration, plus the instance, from 0 on. Version 2.0 keeps the
older annotations beside the new: ``config_v1.2.json`` and ``<split>/v1.2/instances/``.

Reference: G. Neuhold et al.: The Mapillary Vistas Dataset for Semantic Understanding of Street Scenes, ICCV 2017.
"""

import re

import msgspec

from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, CodedValues, Meaning, coded_refs
from segprep.readers._image import PNG
from segprep.readers._json import has_keys, mapped
from segprep.readers._reader import MaskSet, Reader, ReadOptions
from segprep.readers._text import decode, read_bytes

_CONFIG = re.compile(r"config(_(?P<version>v[0-9.]+))?\.json", re.IGNORECASE)
_MAX_BYTES = 2**24
"""Bytes of the largest configuration; real ones have 30 kB."""


class _Label(msgspec.Struct):
    name: str
    instances: bool
    readable: str = ""
    evaluate: bool = True


class _Config(msgspec.Struct):
    labels: list[_Label]


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find Mapillary Vistas: config.json with labels, and <split>/instances/*.png (256 class + instance).

    Of several versions (config_v2.0.json, <split>/v2.0/instances) the last by name is read; give the configuration of
    another one to read that. Classes with ``instances`` are things, the others stuff; classes that are not evaluated are
    ignored.
    """
    root = path if path.is_dir() else path.parent
    configs = [file for file in listing(root).files if _CONFIG.fullmatch(file.name)] if path.is_dir() else [path]
    for config in reversed(configs):
        match = _CONFIG.fullmatch(config.name)
        files = _instance_files(root, match["version"]) if match else []
        if files and has_keys(mapped(config), "labels", "instances"):
            content = read_bytes(config, _MAX_BYTES, "a configuration of Mapillary Vistas")
            labels = decode(config, content, _Config, "configuration of Mapillary Vistas").labels
            evaluated = [(id_, label.name, label.instances) for id_, label in enumerate(labels) if label.evaluate]
            classes = dict.fromkeys(range(len(labels)), IGNORED)
            for code, (id_, _, is_thing) in enumerate(evaluated, start=1):
                classes[id_] = Meaning("thing" if is_thing else "stuff", code)
            meaning = CodedValues(256, classes, "class is not in the configuration")
            return MaskSet("mapillary", class_table(evaluated), coded_refs(root, files, meaning, options))
    return None


def _instance_files(root: AnyPath, version: str | None) -> list[AnyPath]:
    """PNG files of instances of a version."""
    folders = listing(root).folders
    if version:
        folders = [below for folder in folders for below in listing(folder).named(version.lower())]
    named = [instances for folder in folders for instances in listing(folder).named("instances")]
    return [file for folder in named for file in listing(folder).with_suffix(*PNG)]


READER = Reader("mapillary", find)
