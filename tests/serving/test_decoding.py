import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, PngImagePlugin

from drw_tf.data import image_files
from drw_tf.serving import decoding

SHAPE = (16, 20, 3)


def compiled(preparation):
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def run(encoded):
        return decoding.decode_batch(encoded, preparation)

    return lambda *encoded: run(tf.constant(list(encoded), tf.string)).numpy()


@pytest.fixture(scope="module")
def decode():
    return compiled(decoding.Preparation(SHAPE))


@pytest.fixture(scope="module")
def decode_grey():
    return compiled(decoding.Preparation((16, 20, 1)))


def lossless(pictures):
    rgb, rgba = pictures.noise("RGB"), pictures.noise("RGBA")
    palette = rgb.quantize(16)
    sixteen_bits = Image.fromarray(np.arange(320, dtype=np.uint16).reshape(16, 20) * 200)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "no tRNS here")
    return {
        "PNG RGB": pictures.encode(rgb, "PNG"),
        "PNG RGBA": pictures.encode(rgba, "PNG"),
        "PNG grey": pictures.encode(rgb.convert("L"), "PNG"),
        "PNG grey and alpha": pictures.encode(rgba.convert("LA"), "PNG"),
        "PNG 1 bit": pictures.encode(rgb.convert("1"), "PNG"),
        "PNG 1 bit and text": pictures.encode(rgb.convert("1"), "PNG", pnginfo=text),
        "PNG 4 bits": pictures.encode(rgb.convert("L"), "PNG", bits=4),
        "PNG palette": pictures.encode(palette, "PNG"),
        "PNG palette, one transparent": pictures.encode(palette, "PNG", transparency=3),
        "PNG grey, one transparent": pictures.encode(rgb.convert("L"), "PNG", transparency=200),
        "PNG 16 bits": pictures.encode(sixteen_bits, "PNG"),
        "GIF": pictures.encode(palette, "GIF"),
        "GIF, one transparent": pictures.encode(palette, "GIF", transparency=3),
        "BMP": pictures.encode(rgb, "BMP"),
        "BMP grey": pictures.encode(rgb.convert("L"), "BMP"),
        "BMP with padding bytes": pictures.encode(rgba, "BMP"),
    }


def test_lossless_files_give_the_pixels_that_pillow_shows_on_white(pictures, decode):
    files = lossless(pictures)
    for (name, file), got in zip(files.items(), decode(*files.values()), strict=True):
        expected = pictures.on_white(file)
        if name == "PNG 16 bits":  # Pillow clips here; the upper byte is what is meant
            expected = np.repeat((np.arange(320).reshape(16, 20, 1) * 200 // 256), 3, 2)
        np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_within_rounding_of_pillow(pictures, decode, mode):
    smooth = pictures.noise("RGB", (5, 4)).resize((20, 16), Image.BILINEAR).convert(mode)
    for options in ({}, {"progressive": True}):
        file = pictures.encode(smooth, "JPEG", quality=95, **options)
        difference = decode(file)[0].astype(int) - pictures.on_white(file)
        assert np.abs(difference).max() <= 4
        assert np.abs(difference).mean() < 1


def test_grey_networks_get_luma_and_grey_pictures_unchanged(pictures, decode_grey):
    grey, color = pictures.noise("L"), pictures.noise("RGB")
    files = [pictures.encode(image, "PNG") for image in (grey, color)]
    got = decode_grey(*files).astype(int)[..., 0]
    np.testing.assert_array_equal(got[0], np.asarray(grey))
    assert np.abs(got[1] - np.asarray(color.convert("L"))).max() <= 1


def test_first_picture_of_an_animation_counts(pictures, decode):
    images = [pictures.noise("RGB", seed=seed).quantize(8) for seed in range(3)]
    file = pictures.encode(images[0], "GIF", save_all=True, append_images=images[1:], loop=0)
    np.testing.assert_array_equal(decode(file)[0], np.asarray(images[0].convert("RGB")))


def test_other_sizes_are_resized_whole(pictures, decode):
    # Twice as wide: Pillow's bilinear resizing, which smooths where a picture shrinks.
    wide = pictures.noise("RGB", (40, 16))
    expected = np.asarray(wide.resize((20, 16), Image.Resampling.BILINEAR), float)
    assert np.abs(decode(pictures.encode(wide, "PNG"))[0] - expected).max() <= 1
    uniform = Image.new("RGB", (333, 77), (10, 200, 30))
    np.testing.assert_array_equal(
        decode(pictures.encode(uniform, "PNG"))[0], np.full(SHAPE, (10, 200, 30))
    )


def test_strong_shrinking_averages_and_does_not_pick_pixels(pictures, decode):
    checkered = np.indices((160, 200)).sum(0) % 2 * 255
    file = pictures.encode(Image.fromarray(checkered.astype(np.uint8)), "PNG")
    assert np.abs(decode(file)[0].astype(int) - 127).max() <= 3


def test_orientation_of_a_camera_is_applied(pictures, decode):
    upright = pictures.noise("RGB", (5, 4)).resize((20, 16), Image.BILINEAR)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    file = pictures.encode(stored, "JPEG", quality=95, exif=exif.tobytes())
    with Image.open(io.BytesIO(file)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image), int)
    assert expected.shape == SHAPE
    assert np.abs(decode(file)[0] - expected).max() <= 4


def test_central_square_is_what_the_evaluation_of_files_sees(pictures):
    decode = compiled(decoding.Preparation((16, 16, 3), image_files.CENTRAL_FRACTION))
    evaluated = tf.function(
        lambda file: image_files.decode_resized(file, 16, pillow=False),
        autograph=False,
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    for size in ((50, 37), (16, 16), (9, 30), (200, 120)):
        for file_format in ("PNG", "JPEG", "BMP"):
            file = pictures.encode(pictures.noise("RGB", size), file_format)
            np.testing.assert_array_equal(
                decode(file)[0], evaluated(file), err_msg=f"{file_format} {size}"
            )


def test_no_strings_give_no_pictures(decode):
    assert decode().shape == (0, *SHAPE)


def test_check_batch_passes_what_fits_and_names_what_does_not():
    preparation = decoding.Preparation((8, 8, 1))
    images = tf.constant(np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1))
    np.testing.assert_array_equal(decoding.check_batch(images, preparation), images)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"images must be uint8 \[B, 8, 8, 1\], got \[B, 8, 8, 3\]",
    ):
        decoding.check_batch(tf.tile(images, [1, 1, 1, 3]), preparation)
    for wrong, sizes in ((images[:, :, :, 0], "8, 8"), (images[..., None], "8, 8, 1, 1")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"got \[B, {sizes}\]"):
            decoding.check_batch(wrong, preparation)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8, 2),), r"image_shape must be \(height, width, 1 or 3\), got \(8, 8, 2\)"),
        (((8, 0, 1),), "image_shape must be"),
        (((8, 8),), "image_shape must be"),
        (((8, 8, 3), 0.0), r"central_fraction must be in \(0, 1\], got 0.0"),
        (((8, 9, 3), 0.9), "a central square needs a square image_shape"),
        (((8, 8, 3), None, 0), r"max_megapixels must be in \(0, 500\], got 0"),
    ],
)
def test_preparation_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        decoding.Preparation(*arguments)
