import functools
import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from drw_tf.data import exif, image_files, other_files


def smooth_picture(height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.BICUBIC)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(height, width, bits, colour_type, rows, transparency=None, level=-1):
    """A PNG of these rows of packed bytes, of any kind; Pillow does not write all of them."""

    def chunk(name, data):
        named = name + data
        return struct.pack(">I", len(data)) + named + struct.pack(">I", zlib.crc32(named))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if transparency is not None:
        parts.append(chunk(b"tRNS", transparency))
    data = b"".join(b"\x00" + bytes(row) for row in rows)
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(data, level)), chunk(b"IEND", b"")])


def in_map(function, contents):
    dataset = tf.data.Dataset.from_tensor_slices([contents]).map(function)
    return next(iter(dataset)).numpy()


@functools.cache
def decode_in_graph():
    """`image_files.decode` as one graph for all pictures, which takes longer than most of them."""
    return tf.function(image_files.decode, input_signature=[tf.TensorSpec([], tf.string)])


def assert_decodes_to(contents, expected, tolerance=0):
    expected = np.asarray(expected)
    for got in (
        image_files.decode(tf.constant(contents)).numpy(),
        in_map(decode_in_graph(), contents),
    ):
        assert got.dtype == np.uint8
        np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=tolerance)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_lossless_formats_decode_to_the_pixels_that_pillow_sees(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    contents = encoded(smooth_picture(), kind, **options)
    assert_decodes_to(contents, Image.open(io.BytesIO(contents)).convert("RGB"))


def test_jpeg_decodes_to_the_pixels_that_pillow_sees():
    contents = encoded(smooth_picture(), "JPEG", quality=90, subsampling=0)
    assert_decodes_to(contents, Image.open(io.BytesIO(contents)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_grey_pictures_get_three_equal_channels(kind):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(kind, {})
    got = image_files.decode(tf.constant(encoded(image, kind, **options))).numpy()
    assert got.shape == (6, 8, 3)
    np.testing.assert_array_equal(got[..., 0], got[..., 1])
    np.testing.assert_allclose(got[..., 2].astype(int), np.asarray(image), atol=3)


def test_cmyk_jpeg_becomes_rgb():
    image = smooth_picture()
    contents = encoded(image.convert("CMYK"), "JPEG", quality=98, subsampling=0)
    assert_decodes_to(contents, image, tolerance=6)


def test_sixteen_bit_png_is_scaled_not_clipped():
    values = (np.arange(48, dtype=np.uint16) * 1300).reshape(6, 8)
    expected = np.repeat((values >> 8)[..., None], 3, axis=2)
    assert_decodes_to(encoded(Image.fromarray(values), "PNG"), expected)


def test_sixteen_bit_png_with_a_transparent_value():
    values = (np.arange(48, dtype=np.uint16) * 1300).reshape(6, 8)
    expected = np.repeat((values >> 8)[..., None], 3, axis=2)
    expected[0, 1] = 255
    assert_decodes_to(encoded(Image.fromarray(values), "PNG", transparency=1300), expected)


def test_pillow_has_no_limit_of_pixels_beside_ours():
    assert Image.MAX_IMAGE_PIXELS is None


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_grey_of_less_than_a_byte_is_white(bits):
    greys = np.arange(2**bits)
    digits = "".join(f"{grey:0{bits}b}" for grey in greys)
    row = int(digits, 2).to_bytes(len(digits) // 8, "big")
    contents = png(2, len(greys), bits, 0, [row, row], transparency=b"\x00\x02")
    expected = np.where(greys == 2, 255, greys * (255 // greys[-1]))
    assert_decodes_to(contents, np.broadcast_to(expected[:, None], (2, len(greys), 3)))


def test_a_transparent_sixteen_bit_colour_is_white_and_its_neighbour_is_not():
    colours = np.array([[0x1234, 0x5678, 0x9ABC], [0x1234, 0x5678, 0x9ABD]], ">u2")
    contents = png(1, 2, 16, 2, [colours.tobytes()], transparency=colours[0].tobytes())
    assert_decodes_to(contents, [[[255, 255, 255], [0x12, 0x56, 0x9A]]])


def test_the_name_of_the_chunk_of_transparency_among_the_pixels_means_nothing():
    row = b"some tRNS of"
    contents = png(1, 24, 4, 0, [row], level=0)
    assert row in contents
    greys = np.array([17 * int(digit, 16) for digit in row.hex()])
    assert_decodes_to(contents, np.broadcast_to(greys[:, None], (1, 24, 3)))


def test_a_png_with_a_transparent_colour_does_not_need_pillow():
    contents = tf.constant(encoded(smooth_picture().quantize(16), "PNG", transparency=3))
    passed = other_files.refuse_pillow(contents, tf.constant("a.png"))
    got = image_files.decode(passed, pillow=False)
    np.testing.assert_array_equal(got, image_files.decode(contents))


def test_black_and_white_png_is_opaque():
    image = smooth_picture().convert("1")
    assert_decodes_to(encoded(image, "PNG"), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_of_png_lays_the_picture_on_white(mode):
    image = smooth_picture().convert(mode)
    ramp = np.linspace(0, 255, 80).astype(np.uint8)[None].repeat(60, 0)
    image.putalpha(Image.fromarray(ramp))
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    share = pixels[..., 3:] / 255
    expected = np.round(pixels[..., :3] * share + 255 * (1 - share))
    assert_decodes_to(encoded(image, "PNG"), expected, tolerance=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_colour_becomes_white(kind):
    index = np.zeros((4, 6), np.uint8)
    index[:, 3:] = 1
    image = Image.fromarray(index, "L").convert("P")
    image.putpalette([200, 10, 20, 30, 40, 250])
    expected = np.full((4, 6, 3), 255)
    expected[:, 3:] = [30, 40, 250]
    assert_decodes_to(encoded(image, kind, transparency=0), expected)


def test_alpha_of_webp_lays_the_picture_on_white():
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, 3:] = [10, 20, 30, 255]
    expected = np.full((4, 6, 3), 255)
    expected[:, 3:] = [10, 20, 30]
    assert_decodes_to(encoded(Image.fromarray(pixels), "WEBP", lossless=True), expected)


@pytest.mark.parametrize("mode", ["P", "1", "RGBA"])
def test_bmp_of_other_depths_than_24_bits(mode):
    contents = encoded(smooth_picture().convert(mode), "BMP")
    assert_decodes_to(contents, Image.open(io.BytesIO(contents)).convert("RGB"))


def test_only_the_first_frame_of_an_animation_is_seen():
    first, second = smooth_picture(seed=1).convert("P"), smooth_picture(seed=2).convert("P")
    contents = encoded(first, "GIF", save_all=True, append_images=[second])
    assert_decodes_to(contents, first.convert("RGB"))


def gif(canvas, *pictures):
    """A GIF of pictures ((left, top), rows of colours 0 and 1), each of a size of its own."""

    def lzw(pixels):
        # Codes of 3 bits, lowest bits first: clear (4) before each pixel, so they stay that short.
        codes = [code for pixel in pixels for code in (4, pixel)] + [5]
        bits = sum(code << 3 * place for place, code in enumerate(codes))
        data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
        return bytes([2, len(data)]) + data + b"\0"

    parts = [b"GIF89a", struct.pack("<HHBBB", *canvas, 0x80, 0, 0)]
    parts.append(bytes([10, 20, 30, 40, 50, 60]))
    for place, rows in pictures:
        size = len(rows[0]), len(rows)
        parts += [b",", struct.pack("<HHHHB", *place, *size, 0), lzw(itertools.chain(*rows))]
    return b"".join([*parts, b";"])


def test_the_first_picture_of_an_animation_is_seen_alone_whatever_its_size():
    contents = gif((5, 4), ((1, 2), [[0, 1]]), ((0, 0), [[1] * 5] * 4))
    assert_decodes_to(contents, [[[10, 20, 30], [40, 50, 60]]])


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_camera_orientation_is_applied_as_pillow_does(value, order):
    tags = Image.Exif()
    tags.endian = order
    tags[0x0112] = value
    tags[0x010F] = "maker"
    contents = encoded(smooth_picture(), "JPEG", exif=tags.tobytes(), quality=90, subsampling=0)
    assert int(exif.orientation(tf.constant(contents))) == value
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    assert_decodes_to(contents, expected)


@pytest.mark.parametrize("marker", [b"\xff\xfe", b"\xff\xe2", b"\xff\xe0"])
def test_camera_orientation_is_found_behind_comments_and_profiles(marker):
    tags = Image.Exif()
    tags[0x0112] = 6
    contents = encoded(smooth_picture(), "JPEG", exif=tags.tobytes(), quality=90)
    before = marker + (3002).to_bytes(2, "big") + 3000 * b"\x01"
    contents = contents[:2] + before + contents[2:]
    assert int(exif.orientation(tf.constant(contents))) == 6
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    assert image_files.decode(tf.constant(contents)).shape[:2] == expected.size[::-1]


def test_exif_without_an_orientation_leaves_the_picture_alone():
    tags = Image.Exif()
    tags[0x010F] = "maker"
    contents = encoded(smooth_picture(), "JPEG", exif=tags)
    assert int(exif.orientation(tf.constant(contents))) == 1


def test_webp_orientation_is_applied():
    tags = Image.Exif()
    tags[0x0112] = 6
    image = smooth_picture()
    contents = encoded(image, "WEBP", exif=tags, lossless=True)
    assert_decodes_to(contents, image.transpose(Image.ROTATE_270))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_crops_equal_pillows_crop_and_resize(kind):
    image = smooth_picture()
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    contents = encoded(image, kind, **options)
    # Windows (y0, x0, y1, x1) in pixels of 60 x 80.
    windows = np.array([[0, 0, 60, 80], [12, 8, 36, 40], [30, 40, 60, 80]])
    boxes = (windows / [60, 80, 60, 80]).astype(np.float32)
    got = image_files.decode_crops(tf.constant(contents), boxes, 64).numpy()
    mapped = in_map(lambda data: image_files.decode_crops(data, boxes, 64), contents)
    np.testing.assert_array_equal(got, mapped)
    for picture, (top, left, bottom, right) in zip(got, windows, strict=True):
        expected = image.crop((left, top, right, bottom)).resize((64, 64), Image.BILINEAR)
        # Pillow antialiases wherever it shrinks, TensorFlow is asked to below one half only.
        assert np.abs(picture.astype(int) - np.asarray(expected)).mean() < 1.5


def test_equal_boxes_give_equal_pictures():
    contents = tf.constant(encoded(smooth_picture(), "JPEG"))
    box = [0.1, 0.2, 0.7, 0.9]
    many = image_files.decode_crops(contents, [box, box], 16).numpy()
    np.testing.assert_array_equal(many[0], many[1])
    np.testing.assert_array_equal(image_files.decode_crops(contents, [box], 16)[0], many[0])


@pytest.mark.parametrize("value", range(1, 9))
def test_boxes_mean_the_upright_picture(value):
    tags = Image.Exif()
    tags[0x0112] = value
    contents = encoded(smooth_picture(48, 80), "JPEG", exif=tags, quality=95, subsampling=0)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    width, height = upright.size
    box = np.array([0.25, 0.5, 0.75, 1.0], np.float32)
    got = image_files.decode_crops(tf.constant(contents), box[None], 32)[0].numpy()
    corners = (0.5 * width, 0.25 * height, width, 0.75 * height)
    expected = np.asarray(upright.crop(tuple(map(int, corners))).resize((32, 32), Image.BILINEAR))
    assert np.abs(got.astype(int) - expected).mean() < 1.5


def test_large_photographs_are_decoded_at_a_fraction_of_their_size():
    image = smooth_picture(1200, 1600)
    contents = tf.constant(encoded(image, "JPEG", quality=95))
    box = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    for size in (500, 250, 120, 60):  # 600 pixels a side: at 1, 1/2, 1/4 and 1/8
        got = image_files.decode_crops(contents, box[None], size)[0].numpy()
        expected = image.crop((400, 300, 1200, 900)).resize((size, size), Image.BILINEAR)
        assert np.abs(got.astype(int) - np.asarray(expected)).mean() < 1.5


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (64, 64)])
def test_evaluation_sees_the_central_square(height, width):
    image = smooth_picture(height, width)
    side = 0.875 * min(height, width)
    left, top = round((width - side) / 2), round((height - side) / 2)
    right, bottom = round((width + side) / 2), round((height + side) / 2)
    expected = image.crop((left, top, right, bottom)).resize((32, 32), Image.BILINEAR)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95, "subsampling": 0})):
        contents = tf.constant(encoded(image, kind, **options))
        got = image_files.decode_resized(contents, 32).numpy()
        assert np.abs(got.astype(int) - np.asarray(expected)).mean() < 2.0


def test_the_whole_square_picture_is_returned_untouched_at_its_own_size():
    image = smooth_picture(32, 32)
    got = image_files.decode_resized(tf.constant(encoded(image, "PNG")), 32, fraction=1.0)
    np.testing.assert_array_equal(got, np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_picture_of_one_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    contents = tf.constant(encoded(Image.new("RGB", (1, 1), (120, 120, 120)), kind, **options))
    boxes = np.array([[0.2, 0.2, 0.3, 0.3], [0.0, 0.0, 1.0, 1.0]], np.float32)
    got = image_files.decode_crops(contents, boxes, 8).numpy()
    np.testing.assert_allclose(got, np.full((2, 8, 8, 3), 120), atol=1)
    np.testing.assert_allclose(image_files.decode_resized(contents, 8), got[0], atol=1)


def test_a_box_at_the_far_border_keeps_a_pixel():
    contents = tf.constant(encoded(smooth_picture(), "JPEG"))
    got = image_files.decode_crops(contents, [[1.0, 1.0, 1.0, 1.0]], 4)[0].numpy()
    assert got.shape == (4, 4, 3)


@pytest.mark.parametrize("contents", [b"", b"<html>", b"\xff\xd8\xff\xe0 no more"])
def test_what_is_no_picture_is_refused(contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        image_files.decode(tf.constant(contents))


def test_without_pillow_the_graph_holds_no_python_and_refuses_webp():
    def graph(data):
        return image_files.decode_resized(data, 8, pillow=False)

    concrete = tf.function(graph).get_concrete_function(tf.TensorSpec([], tf.string))
    definition = str(concrete.graph.as_graph_def())
    assert "PyFunc" not in definition
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant(encoded(smooth_picture(), "WEBP")))


def test_central_fraction_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\], got 0\."):
        image_files.decode_resized(tf.constant(b""), 8, fraction=0)
