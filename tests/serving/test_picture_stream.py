import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.data import image_scan
from drw_tf.serving import decoding, picture_stream

CENTRAL = decoding.Preparation((16, 16, 3), central_fraction=0.875)
WHOLE = decoding.Preparation((16, 20, 3))
GREY = decoding.Preparation((8, 8, 1))

FILES = {
    "jpeg": ("RGB", "JPEG", {}),
    "turned jpeg": ("RGB", "JPEG", {"orientation": 6}),
    "grey jpeg": ("L", "JPEG", {}),
    "CMYK jpeg": ("CMYK", "JPEG", {}),
    "png": ("RGB", "PNG", {}),
    "transparent png": ("RGBA", "PNG", {}),
    "grey png": ("L", "PNG", {}),
    "1-bit png": ("1", "PNG", {}),
    "palette png": ("P", "PNG", {}),
    "gif": ("P", "GIF", {}),
    "transparent gif": ("P", "GIF", {"transparency": 3}),
    "bmp": ("RGB", "BMP", {}),
}


def contents(pictures, kind, size):
    from PIL import Image

    mode, file_format, options = FILES[kind]
    options = dict(options)
    orientation = options.pop("orientation", None)
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    drawn = (
        pictures.noise("RGB", size) if mode in ("P", "1", "CMYK") else pictures.noise(mode, size)
    )
    return pictures.encode(drawn.convert(mode), file_format, **options)


@pytest.mark.parametrize(
    "preparation",
    [
        pytest.param(CENTRAL, id="central"),
        pytest.param(WHOLE, id="whole", marks=pytest.mark.slow),
        pytest.param(GREY, id="grey", marks=pytest.mark.slow),
    ],
)
def test_pixels_are_those_that_serving_bytes_makes(pictures, preparation):
    decode = tf.function(
        lambda one: picture_stream.decode(one, preparation),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    serve = tf.function(
        lambda some: decoding.decode_batch(some, preparation),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    sizes = [(20, 16), (45, 30), (90, 130)]
    files = [(kind, size, contents(pictures, kind, size)) for kind in FILES for size in sizes]
    expected = serve(tf.constant([file for _, _, file in files]))
    for (kind, size, file), pixels in zip(files, expected.numpy(), strict=True):
        assert np.array_equal(decode(tf.constant(file)), pixels), (kind, size)


def test_webp_comes_through_pillow(pictures):
    file = pictures.encode(pictures.noise("RGB", (20, 16)), "WEBP", lossless=True)
    got = picture_stream.decode(tf.constant(file), WHOLE)
    np.testing.assert_array_equal(got, pictures.on_white(file))


@pytest.fixture
def written(tmp_path, pictures):
    """written({place: bytes}, n): n paths of pictures of different noise, some replaced."""

    def make(replaced, number):
        paths = []
        for row in range(number):
            path = tmp_path / f"{row:02}.png"
            drawn = pictures.encode(pictures.noise("RGB", (20, 16), seed=row), "PNG")
            path.write_bytes(replaced.get(row, drawn))
            paths.append(str(path))
        return paths

    return make


def damaged(pictures):
    """A PNG whose header and end are sound and whose pixels are not."""
    file = pictures.encode(pictures.noise("RGB", (20, 16)), "PNG")
    return file[:60] + bytes([file[60] ^ 255]) + file[61:]


@pytest.mark.parametrize("number", [1, 3, 4, 7])
def test_every_picture_comes_once_and_in_order(written, pictures, number):
    paths = written({}, number)
    got = list(picture_stream.parts(paths, WHOLE, 3))
    assert [len(part.rows) for part in got] == [3] * (number // 3) + [number % 3] * (number % 3 > 0)
    assert np.concatenate([part.rows for part in got]).tolist() == list(range(number))
    for row, pixels in enumerate(np.concatenate([part.pixels for part in got])):
        expected = np.asarray(pictures.noise("RGB", (20, 16), seed=row))
        np.testing.assert_array_equal(pixels, expected)


def test_the_stream_is_not_tuned(written, monkeypatch):
    tuned = []
    read = tf.data.Dataset.as_numpy_iterator

    def noted(self):
        tuned.append(self.options().autotune.enabled)
        return read(self)

    monkeypatch.setattr(tf.data.Dataset, "as_numpy_iterator", noted)
    assert len(list(picture_stream.parts(written({}, 3), WHOLE, 2))) == 2
    assert tuned == [False]


def test_the_decoder_is_traced_once_for_all_lists_of_files(written, monkeypatch):
    traced = []
    decode = picture_stream.decode
    monkeypatch.setattr(
        picture_stream, "decode", lambda *given: traced.append(given) or decode(*given)
    )
    for number in (2, 3):
        preparation = decoding.Preparation((12, 10, 3))  # of no other test
        (part,) = picture_stream.parts(written({}, number), preparation, 3)
        assert part.pixels.shape == (number, 12, 10, 3)
    assert len(traced) == 1


@pytest.mark.parametrize("places", [[0], [2, 3], [4, 5, 6], [6], [1, 6], range(7)])
def test_places_of_damaged_pictures_are_told(written, pictures, places):
    paths = written(dict.fromkeys(places, damaged(pictures)), 7)
    got = list(picture_stream.parts(paths, WHOLE, 2))
    assert [row for part in got for row in part.unreadable] == list(places)
    rows = [row for part in got for row in part.rows]
    assert rows == [row for row in range(7) if row not in places]
    assert all(part.pixels.shape[1:] == (16, 20, 3) for part in got)


def test_a_file_that_vanished_is_told_too(written):
    paths = written({}, 3)
    got = list(picture_stream.parts([*paths, "/nowhere/at.png"], WHOLE, 2))
    assert [row for part in got for row in part.unreadable] == [3]
    assert got[-1].unreadable == {3: "No such file or directory"}


def test_fault_says_why(written, pictures):
    paths = written({0: damaged(pictures)}, 2)
    found = image_scan.faults(paths)
    assert found.keys() == {0}
    assert found[0].startswith("it cannot be decoded")


def test_what_can_be_read_at_a_second_look_is_not_left_out(written, pictures, monkeypatch):
    paths = written({2: damaged(pictures)}, 7)
    sound = {paths[row]: pathlib.Path(paths[row]).read_bytes() for row in (0, 4, 6)}
    for path in sound:
        os.remove(path)
    look = image_scan.faults

    def back(dropped):
        """The disk is back when pictures that were dropped are looked at again."""
        for one in sound.keys() & set(dropped):
            pathlib.Path(one).write_bytes(sound[one])
        return look(dropped)

    monkeypatch.setattr(image_scan, "faults", back)
    got = list(picture_stream.parts(paths, WHOLE, 3))
    assert [row for part in got for row in part.unreadable] == [2]
    assert [row for part in got for row in part.rows] == [0, 1, 3, 4, 5, 6]
    assert max(len(part.rows) for part in got) <= 3
    for part in got:
        for row, pixels in zip(part.rows, part.pixels, strict=True):
            drawn = np.asarray(pictures.noise("RGB", (20, 16), seed=row))
            np.testing.assert_array_equal(pixels, drawn)
