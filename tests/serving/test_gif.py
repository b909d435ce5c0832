import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drw_tf.serving import gif

MAX_PIXELS = 1000


def first(encoded):
    return gif.first_picture(tf.constant(encoded), tf.constant("image 0: "), MAX_PIXELS).numpy()


def animation(pictures, **options):
    images = [pictures.noise("RGB", seed=seed).quantize(8) for seed in range(3)]
    return pictures.encode(
        images[0], "GIF", save_all=True, append_images=images[1:], comment=b"c" * 700, **options
    )


def test_one_picture_is_left_and_it_is_the_first(pictures):
    file = animation(pictures)
    cut = first(file)
    assert len(cut) < len(file) / 2
    with Image.open(io.BytesIO(cut)) as image, Image.open(io.BytesIO(file)) as original:
        assert image.n_frames == 1
        assert original.n_frames == 3
        np.testing.assert_array_equal(image.convert("RGB"), original.convert("RGB"))


def test_transparent_color_is_white_in_the_palette(pictures):
    file = pictures.encode(pictures.noise("RGB").quantize(8), "GIF", transparency=5)
    with Image.open(io.BytesIO(first(file))) as image:
        assert "transparency" not in image.info
        np.testing.assert_array_equal(image.convert("RGB"), pictures.on_white(file))


def local_palette(size=(2, 1), transparent=None):
    """A GIF of 2 x 1 pixels, colors 0 and 1, whose palette belongs to the picture."""
    control = b"" if transparent is None else bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
    canvas = size[0].to_bytes(2, "little") + size[1].to_bytes(2, "little")
    palette = bytes([10, 20, 30, 40, 50, 60])
    # Codes of 3 bits: clear (4), 0, 1, end (5), lowest bits first.
    data = bytes([2, 2, 0b01_000_100, 0b0000_1010, 0])
    picture = b"\x2c" + bytes(4) + canvas + b"\x80" + palette + data
    return b"GIF89a" + bytes([2, 0, 1, 0, 0, 0, 0]) + control + picture + b";"


def test_palette_of_the_picture_itself():
    pixels = tf.io.decode_gif(first(local_palette()))[0, 0].numpy()
    assert pixels.tolist() == [[10, 20, 30], [40, 50, 60]]
    pixels = tf.io.decode_gif(first(local_palette(transparent=1)))[0, 0].numpy()
    assert pixels.tolist() == [[10, 20, 30], [255, 255, 255]]
    # A color that the palette does not have changes nothing.
    pixels = tf.io.decode_gif(first(local_palette(transparent=9)))[0, 0].numpy()
    assert pixels.tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (local_palette(size=(60_000, 60_000)), "image 0: its header claims 60000 x 60000 pixels"),
        (local_palette(size=(1, 1), transparent=1), "transparent and its first picture smaller"),
        (b"GIF89a" + bytes([2, 0, 1, 0, 0, 0, 0]) + b";" + bytes(30), "no picture in it"),
        (b"GIF89a" + bytes([0, 0, 1, 0, 0, 0, 0]) + bytes(30), "at least 1 x 1 is needed"),
    ],
)
def test_refusals_name_the_cause(file, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        first(file)


def test_an_opaque_picture_may_be_smaller_than_its_canvas():
    file = local_palette(size=(1, 1))
    assert first(file) == file


def test_a_picture_that_lies_within_its_canvas_is_seen_whole():
    whole = local_palette()
    assert whole[13:14] == b","
    canvas, place = (9).to_bytes(2, "little") * 2, (5).to_bytes(2, "little") * 2
    file = whole[:6] + canvas + whole[10:14] + place + whole[18:]
    assert tf.io.decode_gif(first(file))[0].numpy().tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_every_truncation_is_an_error_and_not_a_hang(pictures):
    file = first(animation(pictures, transparency=1))
    for length in (*range(6, 80, 3), *range(80, len(file) - 1, 37)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="the GIF is truncated"):
            first(file[:length])


@pytest.mark.parametrize("ended", [True, False])
def test_a_file_of_tiny_blocks_is_refused_early(ended):
    # Comments of one byte a block, in many extensions or in one: a loop over each would take long.
    comments = b"!\xfe\x01c\x00" * 2000 if ended else b"!\xfe" + b"\x01c" * 2000 + b"\x00"
    whole = local_palette()
    cut = tf.function(lambda file: gif.first_picture(file, "image 0: ", MAX_PIXELS))
    with pytest.raises(tf.errors.InvalidArgumentError, match="more and smaller blocks"):
        cut(tf.constant(whole[:13] + comments + whole[13:]))
    few = cut(tf.constant(whole[:13] + b"!\xfe\x01c\x00" * 200 + whole[13:]))
    assert tf.io.decode_gif(few)[0, 0].numpy().tolist() == [[10, 20, 30], [40, 50, 60]]
