import pytest
import tensorflow as tf
from PIL import Image

from drw_tf.serving import headers

CHECKS = {
    "JPEG": tf.function(headers.check_jpeg, autograph=False),
    "PNG": tf.function(headers.check_png, autograph=False),
    "BMP": tf.function(headers.check_bmp, autograph=False),
}
WHERE = "image 4: "


def check(file_format, encoded, max_pixels=1000):
    check_format = CHECKS[file_format]
    return check_format(tf.constant(encoded), tf.constant(WHERE), max_pixels).numpy()


@pytest.mark.parametrize("file_format", CHECKS)
def test_a_sound_file_passes_unchanged_up_to_the_limit(pictures, file_format):
    file = pictures.encode(pictures.noise("RGB", (40, 25)), file_format)  # 1000 pixels
    assert check(file_format, file) == file


@pytest.mark.parametrize("file_format", CHECKS)
def test_one_pixel_row_above_the_limit_is_refused_with_its_size(pictures, file_format):
    file = pictures.encode(pictures.noise("RGB", (40, 26)), file_format)
    expected = f"{WHERE}its header claims 26 x 40 pixels, at most 0.001 megapixels are decoded."
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        check(file_format, file)


def with_size(pictures, file_format, height, width):
    """A file of 16 x 20 pixels whose header says otherwise."""
    file = bytearray(pictures.encode(pictures.noise("RGB"), file_format))
    if file_format == "PNG":
        file[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    elif file_format == "BMP":
        file[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:
        start = file.index(b"\xff\xc0") + 5
        file[start : start + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(file)


@pytest.mark.parametrize("file_format", CHECKS)
def test_400_megapixels_are_refused_before_decoding(pictures, file_format):
    file = with_size(pictures, file_format, 20_000, 20_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="20000 x 20000 pixels"):
        check(file_format, file, max_pixels=50_000_000)


@pytest.mark.parametrize(
    ("file_format", "height", "width"),
    [
        ("PNG", 2**32 - 1, 2**32 - 1),
        ("PNG", 2**31, 2**32 - 1),
        ("BMP", 2**31 - 1, 2**31 - 1),
        ("BMP", 2**31, 2**31 - 1),  # height -2**31
    ],
)
def test_products_beyond_64_bits_are_refused(pictures, file_format, height, width):
    file = with_size(pictures, file_format, height, width)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at most 0\.001 megapixels"):
        check(file_format, file)


@pytest.mark.parametrize(("height", "width"), [(0, 20), (16, 0)])
@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_no_pixels_are_refused(pictures, file_format, height, width):
    file = with_size(pictures, file_format, height, width)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 1 x 1 is needed"):
        check(file_format, file)


def test_a_bmp_of_negative_width_is_refused_and_of_negative_height_is_read(pictures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"16 x -20 .* at least 1 x 1"):
        check("BMP", with_size(pictures, "BMP", 16, 2**32 - 20))
    from_the_top = with_size(pictures, "BMP", 2**32 - 16, 20)
    assert check("BMP", from_the_top) == from_the_top


@pytest.mark.parametrize("file_format", CHECKS)
def test_truncation_is_named_wherever_it_is(pictures, file_format):
    file = pictures.encode(pictures.noise("RGB"), file_format)
    for length in (10, 30, len(file) // 2, len(file) - 12):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=f"{WHERE}the {file_format} is truncated"
        ):
            check(file_format, file[:length])


def test_bytes_after_the_end_are_ignored(pictures):
    for file_format in CHECKS:
        file = pictures.encode(pictures.noise("RGB"), file_format) + b"appended"
        assert check(file_format, file) == file


@pytest.mark.parametrize(("place", "value"), [(28, 1), (28, 16), (30, 1), (14, 12), (14, 200)])
def test_bmp_of_kinds_that_would_be_read_wrongly_are_refused(pictures, place, value):
    file = bytearray(pictures.encode(pictures.noise("RGB"), "BMP"))
    file[place] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be uncompressed with 8, 24"):
        check("BMP", bytes(file))


def test_bmp_with_colors_in_its_palette_is_refused(pictures):
    file = pictures.encode(pictures.noise("RGB").quantize(16), "BMP", bits=8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a palette of colors"):
        check("BMP", file)
    grey = pictures.encode(Image.new("L", (20, 16)), "BMP")
    assert check("BMP", grey) == grey
