"""Random damage for Hypothesis: files that are nearly right, and numbers that are not."""

import io
import json
import struct
import zlib

import numpy as np
import tifffile
from helpers.strategies import SEEDS
from hypothesis import strategies as st
from PIL import Image

PNG_MODES = ("1", "L", "P", "I;16", "RGB", "RGBA", "LA")
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**32, 2**63, 2**64, 10**30]),
    st.floats(),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([[]]),
    st.just("\ud800"),
    st.just("a\nb\x1b[31m\u2028"),
    st.just("../../x"),
)
"""Values that may stand anywhere in JSON, but should not."""
NUMBERS = st.one_of(
    st.floats(),
    st.floats(-30, 60),
    st.integers(-(10**12), 10**12),
    st.integers(-5, 40),
    st.sampled_from([1e9, -1e9, 1e300, 2.0**20, -(2.0**20), 2.0**31, float("nan"), float("inf"), 5e-324]),
)


def polygons():
    """Lists of numbers that may be a polygon: any floats, in any number."""
    return st.lists(NUMBERS, max_size=12) | st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3).map(_flat) | _corners()


def _corners():
    """Three to six corners in and around an image of 12 x 10 pixels."""
    return st.lists(st.tuples(st.integers(-3, 14), st.integers(-3, 16)), min_size=3, max_size=6).map(_flat)


def _flat(points):
    """All coordinates, one after another."""
    return [coordinate for point in points for coordinate in point]


def counts():
    """Run lengths, as a list or as a string."""
    characters = st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30)
    number = st.integers(-3, 500) | st.sampled_from([2**31 - 1, 2**31, 2**62, 2**63, -(2**63)])
    return st.one_of(characters, st.text(max_size=10), st.lists(number, max_size=10), _fitting())


def _fitting():
    """Runs that fill an image of 12 x 10 pixels."""
    return st.lists(st.integers(0, 120), max_size=8).map(lambda ends: np.diff([0, *sorted(ends), 120]).tolist())


def sizes():
    """Sizes of an image, which runs or the image itself may have."""
    return st.sampled_from([[12, 10]] * 6 + [[0, 0], [-1, 5], [10**6, 10**6], [10, 12], [1.5, 2], [12], [2**40, 1]])


def segmentations():
    """Segmentations of an annotation."""
    runs = st.fixed_dictionaries({"size": sizes(), "counts": counts()})
    good = st.lists(_corners(), min_size=1, max_size=2) | st.fixed_dictionaries(
        {"size": st.just([12, 10]), "counts": _fitting()}
    )
    return st.one_of(good, good, good, st.lists(polygons(), max_size=3), polygons(), runs, JUNK)


@st.composite
def coco_documents(draw):
    """Bytes of a COCO file with random errors, in its values and then in its bytes."""
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 12, "width": 10} for number in (1, 2)]
    annotations = [
        {"id": number, "image_id": draw(st.sampled_from([1, 1, 1, 2])), "category_id": 1, "segmentation": segmentation}
        for number, segmentation in enumerate(draw(st.lists(segmentations(), max_size=4)), start=1)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        _spoil(draw, document)
    text = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(damaged(st.just(text))) if draw(st.sampled_from([False, False, False, True])) else text


def _spoil(draw, document):
    """Replace, drop or repeat something in the document."""
    rows = document[draw(st.sampled_from(sorted(document)))] if document else []
    how = draw(st.sampled_from(["value", "drop", "repeat", "part"]))
    if how == "part" or not isinstance(rows, list) or not rows:
        document[draw(st.sampled_from(["images", "annotations", "categories"]))] = draw(JUNK)
        return
    row = draw(st.sampled_from(rows))
    if how == "repeat":
        rows.append(row)
    elif isinstance(row, dict) and row:
        key = draw(st.sampled_from(sorted(row)))
        row[key] = draw(JUNK)
        if how == "drop":
            del row[key]


@st.composite
def damaged(draw, contents):
    """Contents with one to three bytes or stretches, anywhere, flipped, set, cut, repeated or put in; or its end cut off."""
    content = bytearray(draw(contents))
    # Not drawn one by one: Hypothesis favours small numbers, so that nearly all damage would be in the first bytes.
    rng = np.random.default_rng(draw(SEEDS))
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(len(content))) if content else 0
        stop = start + int(rng.integers(1, 12))
        how = rng.choice(["flip", "flip", "flip", "set", "set", "cut", "repeat", "insert", "end"])
        if how == "flip":
            content[start : start + 1] = [byte ^ 1 << int(rng.integers(8)) for byte in content[start : start + 1]]
        elif how == "set":
            content[start : start + 1] = [int(rng.choice([0, 1, 127, 128, 255]))]
        elif how == "cut":
            del content[start:stop]
        elif how == "repeat":
            content[start:start] = content[start:stop]
        elif how == "insert":
            content[start:start] = rng.bytes(stop - start)
        elif rng.random() < 0.3:
            del content[start:]
    return bytes(content)


@st.composite
def png_files(draw):
    """Bytes of small PNG files of all modes, damaged; some chunks get a valid checksum, so that decoders see the damage."""
    content = small_png(draw(st.sampled_from(PNG_MODES)))
    if not draw(st.booleans()):
        return draw(damaged(st.just(content)))
    chunks = png_chunks(content)
    index = draw(st.integers(0, len(chunks) - 1))
    kind, body = chunks[index]
    how = draw(st.sampled_from(["bytes", "pixels", "kind", "repeat", "drop", "move"]))
    if how == "bytes" and body:
        chunks[index] = kind, draw(damaged(st.just(body)))
    elif how == "pixels":
        chunks = [
            (k, zlib.compress(draw(damaged(st.just(zlib.decompress(b))))) if k == b"IDAT" else b) for k, b in chunks
        ]
    elif how == "kind":
        chunks[index] = (
            draw(st.sampled_from([b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"zTXt", b"iCCP", b"iTXt"])),
            body,
        )
    elif how == "repeat":
        chunks.insert(draw(st.integers(0, len(chunks))), chunks[index])
    elif how == "drop":
        del chunks[index]
    else:
        chunks.insert(0, chunks.pop(index))
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def small_png(mode):
    """Bytes of a PNG of 7 x 5 pixels."""
    pixels = np.arange(35, dtype=np.uint8).reshape(7, 5)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 300)
    elif mode == "P":
        image = Image.fromarray(pixels).convert("P")
        image.putpalette(list(range(105)))
    else:
        image = Image.fromarray(pixels).convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def png_chunks(content):
    """Kinds and bodies of the chunks of a PNG."""
    chunks, place = [], 8
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        chunks.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png_chunk(kind, body):
    """Bytes of a chunk with the check that it should have."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


TIFF_KINDS = (
    {"dtype": "uint8"},
    {"dtype": "uint16", "compression": "zlib"},
    {"dtype": "uint16", "compression": "lzw", "predictor": True},
    {"dtype": "uint32", "rowsperstrip": 2},
    {"dtype": "int32", "byteorder": ">"},
    {"dtype": "float32"},
    {"dtype": "bool"},
    {"dtype": "uint16", "tile": (16, 16)},
    {"dtype": "uint8", "bigtiff": True, "compression": "packbits"},
    {"dtype": "uint8", "imagej": True},
)


def small_tiff(kind):
    """Bytes of a TIFF of 7 x 5 pixels."""
    pixels = np.arange(35).reshape(7, 5).astype(kind["dtype"])
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **{name: value for name, value in kind.items() if name != "dtype"})
    return out.getvalue()


def tiff_files():
    """Bytes of small TIFF files of many kinds, damaged."""
    return damaged(st.sampled_from(TIFF_KINDS).map(small_tiff))
