"""The fast decoder of PNG against Pillow: the same pixels, or none."""

import struct
import subprocess
import sys
import zlib
from itertools import pairwise

import numpy as np
import pytest
from helpers.bad_strategies import damaged, png_chunk, png_chunks, png_files
from helpers.examples import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import InputError
from segprep.readers._image import label_values, png_foreground, png_pixels
from segprep.readers._palette import rgb_pixels
from segprep.readers._png import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, common_png

MAX_PIXELS = 2**20
START = b"\x89PNG\r\n\x1a\n"
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *((colour, depth) for colour in (RGB, GREY_ALPHA, RGBA) for depth in (8, 16)),
]
"""Types of colour, and bits of a channel."""
FILTERS = (0, 1, 2, 3, 4)
SCALES = {(GREY, 2): 85, (GREY, 4): 17}
"""Factors by which Pillow scales values, which segprep does not."""


def png(kind, size, lines, *, cuts=(), before=(), after=()):
    """PNG of this kind, height and width with the given filtered rows, which are compressed and cut into IDAT chunks."""
    (colour, depth), (height, width) = kind, size
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *before]
    if colour == PALETTE:
        chunks.append((b"PLTE", bytes(range(6))))
    stream = zlib.compress(lines)
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks += [(b"IDAT", stream[start:end]) for start, end in pairwise(ends)]
    return START + b"".join(png_chunk(*chunk) for chunk in [*chunks, *after, (b"IEND", b"")])


def line_bytes(kind, width):
    """Bytes of a row, with the number of its filter."""
    return 1 + -(-width * kind[1] * CHANNELS[kind[0]] // 8)


def random_lines(kind, size, filters, rng, values=256):
    """Filtered rows: any bytes are pixels, few values are like a mask."""
    lines = rng.integers(0, values, (size[0], line_bytes(kind, size[1])), dtype=np.uint8)
    lines[:, 0] = rng.choice(filters, size[0])
    return lines.tobytes()


@st.composite
def pngs(draw):
    """PNG files of all kinds that are decoded fast, of any size, filters and division into chunks."""
    kind = draw(st.sampled_from(KINDS))
    size = draw(st.integers(1, 20)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    filters = draw(st.sampled_from([FILTERS, *((number,) for number in FILTERS)]))
    lines = random_lines(kind, size, filters, rng, draw(st.sampled_from([256, 3, 1])))
    comments = st.lists(st.just((b"tEXt", b"Comment\0x")), max_size=2)
    cuts = draw(st.lists(st.integers(0, 500), max_size=3))
    return kind, png(kind, size, lines, cuts=cuts, before=draw(comments), after=draw(comments)), lines


def pillow_pixels(file, kind=None):
    """Pixels as Pillow decodes them, checked to be complete."""
    with png_pixels(file, max_pixels=MAX_PIXELS) as image:
        pixels = np.asarray(image)
    if kind == (GREY_ALPHA, 16):
        return pixels[..., [0, 3]]
    return pixels // SCALES[kind] if kind in SCALES else pixels


def assert_same(found, expected):
    """Two arrays of the same type and values."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@given(made=pngs())
def test_pixels_are_those_of_pillow(tmp_path_factory, made):
    kind, content, _ = made
    file = tmp_path_factory.getbasetemp() / "a.png"
    file.write_bytes(content)
    found = common_png(file, max_pixels=MAX_PIXELS)
    assert (found.colour, found.depth) == kind
    assert_same(found.pixels, pillow_pixels(file, kind))


@pytest.mark.parametrize("number", FILTERS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_filter_of_every_kind_and_width(tmp_path, kind, number):
    rng = np.random.default_rng(number)
    for width in [*range(1, 18), 31, 32, 33]:
        lines = random_lines(kind, (5, width), (number,), rng)
        (tmp_path / "a.png").write_bytes(png(kind, (5, width), lines))
        found = common_png(tmp_path / "a.png", max_pixels=MAX_PIXELS)
        assert_same(found.pixels, pillow_pixels(tmp_path / "a.png", kind))


READERS = {
    "label_values": lambda file: label_values(file, max_pixels=MAX_PIXELS),
    "png_foreground": lambda file: png_foreground(file, max_pixels=MAX_PIXELS),
    "rgb_pixels": lambda file: rgb_pixels(file, max_pixels=MAX_PIXELS, advice="save it as RGB"),
}


def answer(read, file):
    """What a reader returns, as text; the message of an error."""
    try:
        return repr(read(file))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_readers_return_the_same_without_the_fast_decoder(tmp_path, monkeypatch, kind, read):
    lines = random_lines(kind, (9, 13), FILTERS, np.random.default_rng(1))
    (tmp_path / "a.png").write_bytes(png(kind, (9, 13), lines))
    fast = answer(read, tmp_path / "a.png")
    for module in ("_image", "_palette"):
        monkeypatch.setattr(f"segprep.readers.{module}.common_png", lambda *_, **__: None)
    assert fast == answer(read, tmp_path / "a.png")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_truncated_or_changed_file_is_never_read_as_other_pixels(tmp_path, kind):
    rng = np.random.default_rng(3)
    lines = random_lines(kind, (3, 5), FILTERS, rng)
    content = png(kind, (3, 5), lines, cuts=(7,), before=[(b"tEXt", b"Comment\0x")])
    file = tmp_path / "a.png"
    file.write_bytes(content)
    pixels = common_png(file, max_pixels=MAX_PIXELS).pixels
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        for bad in (content[:place], bytes(changed)):
            file.write_bytes(bad)
            assert common_png(file, max_pixels=MAX_PIXELS) is None
            try:
                found = pillow_pixels(file, kind)
            except InputError:
                continue
            assert_same(found, pixels)  # as of a comment after the pixels


LINES = bytes([0, 1, 2, 3] * 3)
STREAM = zlib.compress(LINES)
HEADER = (b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, GREY, 0, 0, 0))
END = (b"IEND", b"")


def idat(stream):
    return b"IDAT", stream


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([HEADER, idat(zlib.compress(LINES[:-1])), END], "cannot be read as PNG"),
        ([HEADER, idat(zlib.compress(LINES + b"\0")), END], "more than 12 bytes of pixels; save it again"),
        ([HEADER, idat(zlib.compress(LINES + bytes(2**24))), END], "more than 12 bytes of pixels; save it again"),
        ([HEADER, idat(STREAM[:-1] + b"?"), END], "cannot be read as PNG"),
        ([HEADER, idat(STREAM[:9]), (b"tEXt", b"a\0b"), idat(STREAM[9:]), END], "cannot be read as PNG"),
        ([HEADER, idat(STREAM)], "its end is missing"),
        ([HEADER, END], "cannot be read as PNG"),
        ([idat(STREAM), HEADER, END], "cannot be read as PNG"),
        ([HEADER, idat(zlib.compress(bytes([5]) + LINES[1:])), END], "cannot be read as PNG"),
        ([HEADER, (b"acTL", struct.pack(">II", 2, 0)), idat(STREAM), END], "an animation of"),
    ],
)
def test_a_file_with_good_checksums_and_bad_pixels_is_refused(tmp_path, chunks, message):
    (tmp_path / "a.png").write_bytes(START + b"".join(png_chunk(*chunk) for chunk in chunks))
    assert common_png(tmp_path / "a.png", max_pixels=MAX_PIXELS) is None
    with pytest.raises(InputError, match=rf"a\.png: .*{message}"):
        label_values(tmp_path / "a.png", max_pixels=MAX_PIXELS)


def test_what_is_rare_is_left_to_pillow(tmp_path):
    large = (b"tEXt", b"Comment\0" + b"x" * 2**17)
    for chunks in (
        [HEADER, (b"IHDR", HEADER[1]), idat(STREAM), END],
        [(b"IHDR", HEADER[1][:-1] + b"\1"), idat(zlib.compress(bytes(15))), END],
        [HEADER, (b"ABCD", b""), idat(STREAM), END],
        [HEADER, large, idat(STREAM), END],
    ):
        (tmp_path / "a.png").write_bytes(START + b"".join(png_chunk(*chunk) for chunk in chunks))
        assert common_png(tmp_path / "a.png", max_pixels=MAX_PIXELS) is None
        assert label_values(tmp_path / "a.png", max_pixels=MAX_PIXELS).shape == (3, 3)


def test_trailing_bytes_are_ignored(tmp_path):
    chunks = [HEADER, idat(STREAM + b"more"), END]
    (tmp_path / "a.png").write_bytes(START + b"".join(png_chunk(*chunk) for chunk in chunks) + b"more")
    assert common_png(tmp_path / "a.png", max_pixels=9).pixels.tolist() == [[1, 2, 3]] * 3
    assert common_png(tmp_path / "a.png", max_pixels=8) is None


@st.composite
def resealed(draw):
    """PNG files of all kinds in which a chunk or the pixels are damaged, and the checksums are right again."""
    kind, content, lines = draw(pngs())
    chunks = png_chunks(content)
    index = draw(st.integers(0, len(chunks) - 1))
    how = draw(st.sampled_from(["chunk", "pixels", "drop", "move", "repeat"]))
    if how == "chunk":
        chunks[index] = chunks[index][0], draw(damaged(st.just(chunks[index][1])))
    elif how == "pixels":
        kept = [(name, body) for name, body in chunks if name != b"IDAT"]
        chunks = [*kept[:-1], (b"IDAT", zlib.compress(draw(damaged(st.just(lines))))), kept[-1]]
    else:
        chunk = chunks[index] if how == "repeat" else chunks.pop(index)
        if how != "drop":
            chunks.insert(draw(st.integers(0, len(chunks))), chunk)
    return kind, START + b"".join(png_chunk(*chunk) for chunk in chunks)


@fuzzed(10_000)
@given(made=resealed() | png_files().map(lambda content: (None, content)))
def test_no_damage_makes_other_pixels(tmp_path_factory, made):
    file = tmp_path_factory.getbasetemp() / "a.png"
    file.write_bytes(made[1])
    found = common_png(file, max_pixels=MAX_PIXELS)
    if found is None:
        return
    try:
        expected = pillow_pixels(file, (found.colour, found.depth))
    except InputError:
        assert not is_plain(made[1])  # Pillow also reads, and refuses, chunks that do not matter
    else:
        assert_same(found.pixels, expected)


def is_plain(content):
    """True if a PNG has no chunk but header, pixels and end."""
    return {kind for kind, _ in png_chunks(content)} <= {b"IHDR", b"IDAT", b"IEND"}


def test_an_image_without_filters_compiles_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(png((GREY, 8), (3, 3), LINES))
    script = (
        "import sys, pathlib; from segprep.readers._image import label_values\n"
        "assert 'imagecodecs' not in sys.modules\n"
        f"label_values(pathlib.Path({str(tmp_path / 'a.png')!r}), max_pixels=9)\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
