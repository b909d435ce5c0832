import collections
import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from drw_tf import patience
from drw_tf.data import dataset as records
from drw_tf.data import image_headers, image_scan

FORMATS = [("JPEG", ".jpg"), ("PNG", ".png"), ("GIF", ".gif"), ("BMP", ".bmp"), ("WEBP", ".webp")]


def scan(paths, **options):
    options = {"max_megapixels": 50, "on_bad": "skip", **options}
    return image_scan.scan([str(path) for path in paths], **options)


def noise(height=40, width=56, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png_claiming(width, height):
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "extension"), FORMATS)
def test_size_is_read_from_the_header_of_every_format(tmp_path, kind, extension):
    path = tmp_path / f"a{extension}"
    noise().save(path, kind)
    with open(path, "rb") as file:
        header = image_headers.read(file, path.stat().st_size)
    assert (header.height, header.width) == (40, 56)
    assert scan([path]).bad == ()


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0"}])
def test_all_three_kinds_of_webp_header(options):
    buffer = io.BytesIO()
    noise(33, 77).save(buffer, "WEBP", **options)
    header = image_headers.read(io.BytesIO(buffer.getvalue()), len(buffer.getvalue()))
    assert (header.height, header.width, header.complete) == (33, 77, True)


@pytest.mark.parametrize("options", [{"progressive": True}, {"comment": b"x" * 60000}])
def test_jpeg_size_lies_behind_any_segments(options):
    buffer = io.BytesIO()
    noise(33, 77).save(buffer, "JPEG", **options)
    header = image_headers.read(io.BytesIO(buffer.getvalue()), len(buffer.getvalue()))
    assert (header.height, header.width, header.complete) == (33, 77, True)


@pytest.mark.parametrize(("kind", "extension"), FORMATS)
def test_a_file_that_is_cut_off_is_found_without_a_full_check(tmp_path, kind, extension):
    path = tmp_path / f"a{extension}"
    noise().save(path, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert [bad.path for bad in scan([path]).bad] == [str(path)]
    path.write_bytes(whole[:20])
    assert len(scan([path]).bad) == 1


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_bytes_after_the_end_do_no_harm(tmp_path, kind, extension):
    path = tmp_path / f"a{extension}"
    noise().save(path, kind)
    path.write_bytes(path.read_bytes() + b"trailer of some phone")
    assert scan([path]).bad == ()


def test_damage_inside_is_found_by_the_full_check_only(tmp_path):
    path = tmp_path / "a.png"
    noise().save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert scan([path]).bad == ()
    assert "cannot be decoded" in scan([path], full=True).bad[0].reason


def test_a_header_that_claims_400_megapixels_is_refused_without_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(20000, 20000))
    (bad,) = scan([path], full=True).bad
    assert bad.reason == "20000 x 20000 pixels are more than --max_megapixels=50"


def test_a_gif_may_not_hide_its_size_behind_a_small_canvas(tmp_path):
    head = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6)
    comment = b"!\xfe\x04text\x02no\x00"
    path = tmp_path / "bomb.gif"
    for place in ((0, 0, 60_000, 50_000), (59_999, 49_999, 1, 1)):
        picture = b"," + struct.pack("<HHHHB", *place, 0) + b"\x02\x01\x00\x00;"
        for before in (b"", comment, comment * 3):
            path.write_bytes(head + before + picture)
            (bad,) = scan([path]).bad
            assert bad.reason == "60000 x 50000 pixels are more than --max_megapixels=50"


def test_a_jpeg_that_goes_on_behind_its_end_is_not_decoded_to_be_looked_at(tmp_path, monkeypatch):
    path = tmp_path / "motion.jpg"
    noise(40, 30).save(path)
    whole = path.read_bytes()
    monkeypatch.setattr(image_scan, "_decoding_fault", lambda contents: "decoded")
    path.write_bytes(whole + b"\x00\x00\x00\x18ftypmp42" + bytes(5000))
    assert scan([path]).bad == ()
    path.write_bytes(whole[:-2] + bytes(5000))
    assert scan([path]).bad[0].reason == "decoded"


@pytest.mark.parametrize("full", [False, True])
def test_the_first_damaged_picture_is_found_without_a_look_at_all(monkeypatch, full):
    looked = []

    def look(path, max_megapixels, decodes):
        looked.append((path, decodes))
        return "broken" if path == "7" and decodes == full else ""

    monkeypatch.setattr(image_scan, "_look", look)
    paths = [str(row) for row in range(20_000)]
    found = image_scan.first_damaged(paths)
    assert (found.row, found.path, found.reason) == (7, "7", "broken")
    assert sum(decodes == full for _, decodes in looked) < 5000
    assert sum(decodes != full for _, decodes in looked) == (20_000 if full else 0)


def test_the_limit_itself_is_allowed(tmp_path):
    path = tmp_path / "a.png"
    noise(100, 100).save(path)
    assert scan([path], max_megapixels=0.01).bad == ()
    assert len(scan([path], max_megapixels=0.00999).bad) == 1


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html></html>", "no JPEG, PNG, GIF, BMP or WebP: it begins with b'<html></'"),
        (b"\xff\xd8\xff\xe0", "its header is cut off"),
        (b"\xff\xd8\xff\xd9" + b"\0" * 40, "its JPEG header names no size"),
        (png_claiming(0, 5), "its header says 0 x 5 pixels"),
    ],
)
def test_reason_for_what_is_no_picture(tmp_path, contents, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(contents)
    assert scan([path]).bad[0].reason == reason


def test_a_missing_file_is_bad(tmp_path):
    assert scan([tmp_path / "none.jpg"]).bad[0].reason == "No such file or directory"


@pytest.fixture
def failing(monkeypatch):
    """failing(number, times): so often each file cannot be opened, with this error.

    `times` may be a function of the path.
    """

    def make(number, times):
        left = collections.Counter()

        def fails(path, *rest):
            left[path] += 1
            if left[path] <= (times(path) if callable(times) else times):
                raise OSError(number, os.strerror(number), path)
            return open(path, *rest)

        monkeypatch.setattr(image_scan, "open", fails, raising=False)
        monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.0, 0.0))

    return make


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.EIO])
def test_a_disk_that_is_gone_for_a_moment_makes_no_picture_bad(tmp_path, failing, number):
    path = tmp_path / "1.png"
    noise().save(path)
    failing(number, 2)
    report = scan([path], on_bad="skip")
    assert not report.bad
    assert report.usable.tolist() == [True]


def test_a_disk_that_stays_away_is_no_fault_of_a_picture_and_a_bad_sector_is(tmp_path, failing):
    path = tmp_path / "1.png"
    noise().save(path)
    failing(errno.ESTALE, 3)
    with pytest.raises(OSError, match=rf"Stale file handle: '{path}'$"):
        scan([path], on_bad="skip")
    failing(errno.EIO, 3)
    assert scan([path], on_bad="skip").bad[0].reason == "Input/output error"


def test_a_disk_that_fails_throughout_is_waited_for_once(tmp_path, failing, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(600)]
    noise().save(paths[0])
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    failing(errno.EIO, 3)
    waited = []
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    report = scan(paths, on_bad="skip")
    # Three blocks at once, each with two pauses for its first file at most.
    assert len(report.bad) == 600
    assert 2 <= len(waited) <= 6


def test_a_bad_sector_takes_the_patience_from_no_later_file(tmp_path, failing):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        noise().save(path)
    # One that cannot be read, a sound one, and one that fails for a moment.
    failing(errno.EIO, lambda path: {"0.png": 9, "2.png": 1}.get(os.path.basename(path), 0))
    assert [one.row for one in scan(paths, on_bad="skip").bad] == [0]


def test_a_gpu_without_memory_is_no_fault_of_a_picture(tmp_path, monkeypatch):
    path = tmp_path / "1.png"
    noise().save(path)
    devices = []

    def decode(contents):
        devices.append(contents.device)
        raise tf.errors.InternalError(None, None, "cudaSetDevice() on GPU:0 failed")

    monkeypatch.setattr(image_scan.image_files, "decode", decode)
    with tf.device("CPU:1"), pytest.raises(tf.errors.InternalError, match="cudaSetDevice"):
        scan([path], on_bad="skip", full=True)
    assert devices[0].endswith("CPU:0")


def test_failing_names_the_count_and_the_first_ten(tmp_path):
    paths = []
    for row in range(13):
        paths.append(tmp_path / f"{row:02d}.jpg")
        paths[-1].write_bytes(b"")
    noise().save(tmp_path / "good.png")
    with pytest.raises(ValueError, match="13 of 14 pictures cannot be used") as caught:
        scan([*paths, tmp_path / "good.png"], on_bad="fail")
    message = str(caught.value)
    assert "\n" not in message
    assert "09.jpg: the file is empty" in message
    assert "10.jpg" not in message
    assert "and 3 more" in message
    assert "--on_bad_image=skip" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [({"on_bad": "ignore"}, "fail, skip, got 'ignore'"), ({"max_megapixels": 0}, "above 0, got 0")],
)
def test_arguments_outside_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        scan([], **options)


def folder_dataset(tmp_path, bad_rows, labels=(0, 0, 1, -1, -1)):
    paths = []
    for row in range(len(labels) + 2):
        paths.append(str(tmp_path / f"{row}.png"))
        noise(seed=row).save(paths[-1])
    for row in bad_rows:
        (tmp_path / f"{row}.png").write_bytes(b"")
    number = len(labels)
    train = records.FileImages(np.array(paths[:number], object), np.array(labels, np.int64))
    test = records.FileImages(np.array(paths[number:], object), np.array([0, 1], np.int64))
    split = records.Split(
        np.array([0, 1, 2], np.int64), np.array([3, 4], np.int64), np.empty(0, np.int64)
    )
    return records.Dataset(
        "folder", ("a", "b"), (8, 8, 3), train, test, True, (0.5,) * 3, (0.5,) * 3, split
    )


def test_skipping_drops_rows_and_keeps_the_split_on_the_same_pictures(tmp_path):
    dataset = folder_dataset(tmp_path, bad_rows=[0, 3, 5])
    got, report = image_scan.usable_dataset(dataset, max_megapixels=1, on_bad="skip")
    assert [bad.row for bad in report.bad] == [0, 3, 5]
    # Rows 1, 2 and 4 are left and are now rows 0, 1 and 2; of the test rows 5 and 6 the second.
    np.testing.assert_array_equal(got.train.paths, dataset.train.paths[[1, 2, 4]])
    np.testing.assert_array_equal(got.given_split.labeled, [0, 1])
    np.testing.assert_array_equal(got.given_split.unlabeled, [2])
    np.testing.assert_array_equal(got.test.labels, [1])


def test_a_clean_data_set_comes_back_as_it_is(tmp_path):
    dataset = folder_dataset(tmp_path, bad_rows=[])
    assert image_scan.usable_dataset(dataset, max_megapixels=1)[0] is dataset


def test_skipping_the_last_labeled_picture_of_a_class_is_refused(tmp_path):
    dataset = folder_dataset(tmp_path, bad_rows=[2])
    with pytest.raises(ValueError, match=r"no labeled picture of b is left, as .*2\.\w+: \w"):
        image_scan.usable_dataset(dataset, max_megapixels=1, on_bad="skip")


def test_what_else_is_bad_is_named_then_too(tmp_path):
    dataset = folder_dataset(tmp_path, bad_rows=[2, 4])
    with pytest.raises(ValueError, match=r"of b is left, .*2\.png: .*; and these: .*4\.png: \w"):
        image_scan.usable_dataset(dataset, max_megapixels=1, on_bad="skip")


def test_duplicates_are_equal_files_under_any_name(tmp_path):
    contents = [b"one", b"two", b"one", b"three", b"two", b"one", b"four!"]
    paths = []
    for row, content in enumerate(contents):
        paths.append(str(tmp_path / f"{row}.jpg"))
        (tmp_path / f"{row}.jpg").write_bytes(content)
    got = image_scan.duplicates(paths)
    assert [list(rows) for rows in got] == [[0, 2, 5], [1, 4]]
