import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from segprep.errors import InputError
from segprep.readers._image import has_channels, label_values, png_foreground

BITMAP = np.zeros((6, 8), bool)
BITMAP[2:4, 3:7] = True
BITMAP[2, 3] = False


def grey(value):
    """Picture of one channel: `value` on the bitmap, 0 elsewhere."""
    return Image.fromarray((BITMAP * value).astype(np.uint8))


def even(value):
    return Image.new("L", BITMAP.shape[::-1], value)


def palette():
    """Indices 0 and 7, both of them white."""
    picture = Image.frombytes("P", BITMAP.shape[::-1], (BITMAP * 7).astype(np.uint8).tobytes())
    picture.putpalette([255] * 768)
    return picture


IMAGES = {
    "1 bit": grey(255).convert("1"),
    "0 and 1": grey(1),
    "0 and 255": grey(255),
    "16 bits": Image.fromarray((BITMAP * 256).astype(np.uint16)),
    "palette": palette(),
    "grey with opaque alpha": Image.merge("LA", (grey(255), even(255))),
    "grey that alpha hides": Image.merge("LA", (grey(255), even(0))),
    "one colour": Image.merge("RGB", (even(0), even(0), grey(9))),
    "colour with opaque alpha": Image.merge("RGBA", (even(0), grey(255), even(0), even(255))),
    "colour that alpha hides": Image.merge("RGBA", (grey(1), even(0), even(0), even(0))),
}


@pytest.mark.parametrize("picture", IMAGES.values(), ids=IMAGES)
def test_foreground_is_what_is_not_zero(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    shape, (y, x, pixels) = png_foreground(tmp_path / "a.png", max_pixels=48)
    assert (shape, y, x) == ((6, 8), 2, 3)
    np.testing.assert_array_equal(pixels, BITMAP[2:4, 3:7])


@pytest.mark.parametrize("picture", [even(0), Image.merge("LA", (even(0), even(255)))], ids=["grey", "opaque"])
def test_a_black_image_has_no_foreground(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    assert png_foreground(tmp_path / "a.png", max_pixels=48) == ((6, 8), None)


@pytest.mark.parametrize(
    ("name", "is_label"), [("palette", True), ("1 bit", True), ("16 bits", True), ("one colour", False)]
)
def test_a_header_distinguishes_label_images_from_photographs(tmp_path, name, is_label):
    IMAGES[name].save(tmp_path / "a.png")
    assert has_channels(tmp_path / "a.png") is not is_label


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "int32", "uint64"])
def test_a_tiff_keeps_its_values(tmp_path, dtype, compression):
    largest = 1 if dtype == "bool" else np.iinfo(dtype).max
    values = np.array([[0, 1, largest]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, compression=compression)
    np.testing.assert_array_equal(label_values(tmp_path / "a.tif", max_pixels=3), values)


@pytest.mark.parametrize("values", [np.array([[0, 300, 301]], np.uint16), np.array([[0, 254, 255]], np.uint8)])
def test_a_png_keeps_its_values(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(label_values(tmp_path / "a.png", max_pixels=3), values)


def test_a_palette_keeps_its_indices(tmp_path):
    palette().save(tmp_path / "a.png")
    np.testing.assert_array_equal(label_values(tmp_path / "a.png", max_pixels=48), BITMAP * 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.5]], np.float32), "float32; labels are integers"),
        (np.array([[-3, 1]], np.int32), "the value -3; labels are not negative"),
        (np.zeros((4, 5, 6), np.uint16), "a stack of 4 x 5 x 6"),
        (np.zeros((4, 5, 3), np.uint8), "3 channels"),
        (np.zeros((7, 7), np.uint8), "7 x 7 pixels are more than max_pixels=48; raise the limit"),
    ],
)
def test_a_tiff_that_is_no_label_image_is_refused(tmp_path, values, message):
    photometric = "rgb" if values.shape[-1:] == (3,) else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric)
    with pytest.raises(InputError, match=rf"a\.tif: .*{message}"):
        label_values(tmp_path / "a.tif", max_pixels=48)


def test_the_pages_of_a_long_stack_are_not_counted(tmp_path):
    entries = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    page = struct.pack("<H", 9) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    starts = range(8, 8 + 100_000 * (len(page) + 4), len(page) + 4)
    pages = b"".join(page + struct.pack("<I", start) for start in [*starts[1:], 0])
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + pages)
    with pytest.raises(InputError, match=r"a\.tif: a stack of more than 1000 pages; volumes are not supported yet"):
        label_values(tmp_path / "a.tif", max_pixels=48)


def test_a_photograph_is_no_label_image(tmp_path):
    IMAGES["one colour"].save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: an image in RGB; a label image has one channel"):
        label_values(tmp_path / "a.png", max_pixels=48)


def huge_png(height, width):
    """PNG with the header of a huge picture and hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("read", [png_foreground, label_values])
def test_a_huge_image_is_refused_by_its_header(tmp_path, read):
    (tmp_path / "a.png").write_bytes(huge_png(100_000, 200_000))
    with pytest.raises(InputError, match="100000 x 200000 pixels are more than max_pixels=1000; raise the limit"):
        read(tmp_path / "a.png", max_pixels=1000)


def test_a_large_image_that_is_allowed_gives_no_warning(tmp_path):
    large = Image.new("1", (10_000, 9_000), 1)  # Pillow itself warns of such a size
    large.save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, crop = png_foreground(tmp_path / "a.png", max_pixels=2**28)
    assert crop.pixels.shape == (9_000, 10_000)


@pytest.mark.parametrize("kept", [0, 4, 30, 60, 0.5, 0.99])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_truncated_file_is_refused(tmp_path, capfd, name, kept):
    values = np.random.default_rng(0).integers(0, 2**16, (50, 50)).astype(np.uint16)
    if name == "a.png":
        Image.fromarray(values).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, values, metadata=None)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=rf"{name}: cannot be read as (PNG|TIFF): [^\n]+$"):
        label_values(tmp_path / name, max_pixels=2500)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_text("not a picture")
    with pytest.raises(InputError, match=rf"{name}: cannot be read as"):
        label_values(tmp_path / name, max_pixels=2500)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_that_is_gone_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: cannot be read as .*: No such file or directory"):
        label_values(tmp_path / name, max_pixels=2500)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def interlaced(values):
    """PNG of 8 bits in seven passes."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [values[y::down, x::across] for x, y, across, down in passes]
    pixels = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 0, 0, 0, 1)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("height", range(1, 10))
def test_an_interlaced_png_of_any_size_is_complete(tmp_path, height):
    for width in range(1, 10):
        values = np.arange(height * width, dtype=np.uint8).reshape(height, width)
        (tmp_path / "a.png").write_bytes(interlaced(values))
        np.testing.assert_array_equal(label_values(tmp_path / "a.png", max_pixels=81), values)


def test_a_png_with_comments_and_trailing_bytes_is_complete(tmp_path):
    remark = chunk(b"tEXt", b"Comment\0x")
    content = interlaced(np.ones((3, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(content[:-12] + remark[:-1] + b"?" + content[-12:] + b"more")
    assert label_values(tmp_path / "a.png", max_pixels=9).sum() == 9


def test_a_png_is_complete_to_the_byte(tmp_path):
    content = interlaced(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for place in range(33, len(content)):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]):
            (tmp_path / "a.png").write_bytes(damaged)
            with pytest.raises(InputError, match=r"a\.png: cannot be read as PNG"):
                label_values(tmp_path / "a.png", max_pixels=64)


def test_a_tiff_that_names_another_file_is_read_alone(tmp_path):
    (tmp_path / "data").mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", np.ones((3, 4), np.uint8))
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    tiffs = "".join(
        f'<TiffData IFD="0" FirstZ="{plane}" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for plane, name in enumerate(("a.tif", "../secret.tif"))
    )
    size = 'SizeX="4" SizeY="3" SizeZ="2" SizeC="1" SizeT="1" Type="uint8" DimensionOrder="XYZCT" ID="Pixels:0"'
    text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels {size}>{tiffs}'
    text += "</Pixels></Image></OME>"
    tifffile.imwrite(tmp_path / "data/a.tif", np.full((3, 4), 5, np.uint8), description=text, metadata=None)
    with tifffile.TiffFile(tmp_path / "data/a.tif") as both:
        assert both.series[0].shape == (2, 3, 4)
    assert label_values(tmp_path / "data/a.tif", max_pixels=99).tolist() == [[5] * 4] * 3


def test_a_tile_that_is_larger_than_an_image_may_be_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((16, 16), np.uint8), tile=(256, 256), compression="zlib")
    assert label_values(tmp_path / "a.tif", max_pixels=256 * 256).shape == (16, 16)
    with pytest.raises(InputError, match=r"a\.tif: a tile: 256 x 256 pixels are more than max_pixels"):
        label_values(tmp_path / "a.tif", max_pixels=256 * 256 - 1)


def test_a_tiff_that_may_have_lost_labels_to_compression_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((16, 16), np.uint8), compression="jpeg")
    with pytest.raises(InputError, match=r"a\.tif: compressed as JPEG; label images are read without compression, or"):
        label_values(tmp_path / "a.tif", max_pixels=256)


def test_a_code_that_is_not_in_the_table_of_lzw_never_reaches_a_decoder_that_would_end_the_process(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), compression="lzw")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset + 1] |= 0x7F  # the first code after the clear code
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a\.tif: cannot be read as TIFF: its LZW codes are damaged or of an old kind"
    ):
        label_values(tmp_path / "a.tif", max_pixels=256)
