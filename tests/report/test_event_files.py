import os
import pathlib
import re
import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

from drw_tf.report import event_files
from tests import event_values


def write(logdir, steps, tag="loss", scale=0.5):
    """One event file with a scalar of scale * step at each step."""
    writer = tf.summary.create_file_writer(str(logdir), filename_suffix=f".{tag.replace('/', '_')}")
    with writer.as_default():
        for step in steps:
            tf.summary.scalar(tag, scale * step, step=step)
    writer.close()


def raw(path):
    return list(event_file_loader.RawEventFileLoader(str(path)).Load())


def test_scalars_come_back_by_tag_and_step(tmp_path):
    write(tmp_path, [1, 2, 7])
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0, ("loss", 7): 3.5}


def test_text_images_and_histograms_come_back_as_arrays(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    image = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    with writer.as_default():
        tf.summary.text("note", "héllo", step=0)
        tf.summary.image("picture", image, step=3)
        tf.summary.histogram("weights", [1.0, 1.0, 3.0], step=3, buckets=2)
    writer.close()
    got = event_values.read(tmp_path)
    assert got["note", 0].item().decode() == "héllo"
    np.testing.assert_array_equal(tf.io.decode_png(got["picture", 3][2]), image[0])
    np.testing.assert_allclose(got["weights", 3], [[1, 2, 2], [2, 3, 1]])


def test_files_in_folders_below_have_the_folder_in_their_tags(tmp_path):
    write(tmp_path / "validation", [4])
    assert event_values.read(tmp_path) == {("validation/loss", 4): 2.0}


def test_later_file_wins_where_a_step_was_written_twice(tmp_path):
    write(tmp_path, [1, 2], scale=0.5)
    first = event_files.find(tmp_path)[0]
    os.replace(first, tmp_path / "events.out.tfevents.0000000001.a")
    write(tmp_path, [2, 3], scale=2.0)
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 4.0, ("loss", 3): 6.0}


def test_missing_folder_has_no_values_and_nothing_to_truncate(tmp_path):
    assert event_values.read(tmp_path / "none") == {}
    assert event_files.truncate(tmp_path / "none", 5) == ()


@pytest.mark.parametrize("cut", [1, 4, 11, 13, 30])
def test_truncated_tail_is_read_up_to_there(tmp_path, cut):
    write(tmp_path, [1, 2, 3])
    path = event_files.find(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-cut])
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0}


def test_flipped_bit_ends_the_file_there(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = event_files.find(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0}


def test_truncation_drops_exactly_the_later_steps(tmp_path):
    write(tmp_path, range(1, 11))
    write(tmp_path, [9, 10], tag="other")
    assert event_files.truncate(tmp_path, 6) == ()
    assert event_values.read(tmp_path) == {("loss", step): 0.5 * step for step in range(1, 7)}
    # The second file has no value left.
    assert len(event_files.find(tmp_path)) == 1


def test_truncation_copies_events_byte_for_byte_with_their_wall_times(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = event_files.find(tmp_path)[0]
    before = raw(path)
    event_files.truncate(tmp_path, 2)
    (path,) = event_files.find(tmp_path)
    assert raw(path) == before[:3]
    times = [tf.compat.v1.Event.FromString(record).wall_time for record in raw(path)]
    assert times == [tf.compat.v1.Event.FromString(record).wall_time for record in before[:3]]


def test_truncation_at_the_last_step_does_not_touch_the_file(tmp_path):
    write(tmp_path, [1, 2])
    path = event_files.find(tmp_path)[0]
    before = path.stat()
    event_files.truncate(tmp_path, 2)
    (path,) = event_files.find(tmp_path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_truncation_cuts_a_damaged_tail_off_so_that_tensorboard_reads_on(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = event_files.find(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-5])
    damaged = event_files.truncate(tmp_path, 9)
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0}
    (path,) = event_files.find(tmp_path)
    assert damaged == (path.name,)
    # Whole records only: each is 8 + 4 bytes of header, its content, 4 of checksum.
    content, place = path.read_bytes(), 0
    while place < len(content):
        place += 16 + struct.unpack("<Q", content[place : place + 8])[0]
    assert place == len(content)


def test_truncation_drops_named_tags_at_any_step(tmp_path):
    write(tmp_path, [1, 2])
    write(tmp_path, [2], tag="final/loss")
    write(tmp_path, [2], tag="half/final/loss")
    event_files.truncate(tmp_path, 2, ("final/", "other/"))
    kept = {("loss", 1), ("loss", 2), ("half/final/loss", 2)}
    assert event_values.read(tmp_path).keys() == kept


def test_truncation_to_before_the_start_leaves_no_file(tmp_path):
    write(tmp_path, [0, 1])
    event_files.truncate(tmp_path, -1)
    assert event_files.find(tmp_path) == []


def test_truncation_that_was_killed_is_done_by_the_next_one(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3], tag="a")
    write(tmp_path, [1, 2, 3], tag="b")

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            event_files.truncate(tmp_path, 1)
    assert len(event_values.read(tmp_path)) == 6
    event_files.truncate(tmp_path, 1)
    assert event_values.read(tmp_path) == {("a", 1): 0.5, ("b", 1): 0.5}
    assert all("tfevents" in path.name for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 2


def test_writing_on_after_truncation_gives_the_undisturbed_curve(tmp_path):
    write(tmp_path, range(1, 8))
    event_files.truncate(tmp_path, 4)
    write(tmp_path, range(5, 11))
    assert event_values.read(tmp_path) == {("loss", step): 0.5 * step for step in range(1, 11)}


def test_a_disk_that_is_full_is_one_line_and_the_files_are_as_they_were(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3])
    (path,) = event_files.find(tmp_path)
    before = path.read_bytes()

    class Full:
        def __init__(self, name):
            # As TensorFlow 2.15 words it on a full tmpfs.
            message = f"{name}; No space left on device"
            raise tf.errors.ResourceExhaustedError(None, None, message)

    said = f"{tmp_path}: TensorBoard's events could not be written: No space left on device."
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Full)
        with pytest.raises(OSError, match=f"^{re.escape(said)}$"):
            event_files.truncate(tmp_path, 2)
    assert path.read_bytes() == before
    event_files.truncate(tmp_path, 2)
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0}


@pytest.fixture
def of_a_later_clock(tmp_path):
    """Contents of four event files in their order; of all but the first the clock was ahead."""
    ahead = int(time.time()) + 10**6
    begun = (f"{1:010d}.z", f"{ahead:010d}.b", f"{ahead:010d}.c", f"{ahead + 5:010d}.a")
    for number, name in enumerate(begun):
        write(tmp_path / "made", [7], scale=number)
        (path,) = event_files.find(tmp_path / "made")
        path.rename(tmp_path / f"events.out.tfevents.{name}")
    return contents(tmp_path)


def contents(logdir):
    return [path.read_bytes() for path in event_files.find(logdir)]


def test_what_is_written_after_the_clock_was_set_back_is_read_last(tmp_path, of_a_later_clock):
    assert event_files.truncate(tmp_path, 7) == ()
    assert contents(tmp_path) == of_a_later_clock
    names = [path.name for path in event_files.find(tmp_path)]
    assert names[0] == "events.out.tfevents.0000000001.z"
    assert [name[-2:] for name in names] == [".z", ".b", ".c", ".a"]
    write(tmp_path, [7], scale=9)
    assert event_values.read(tmp_path) == {("loss", 7): 63.0}
    event_files.truncate(tmp_path, 7)
    assert contents(tmp_path)[:4] == of_a_later_clock


def test_files_keep_their_order_where_renaming_them_is_killed(
    tmp_path, of_a_later_clock, monkeypatch
):
    rename, done = pathlib.Path.rename, []

    def killed(self, name):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(name)
        rename(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            event_files.truncate(tmp_path, 7)
    assert contents(tmp_path) == of_a_later_clock
    event_files.truncate(tmp_path, 7)
    assert contents(tmp_path) == of_a_later_clock


def test_a_disk_that_is_gone_is_one_line_and_cuts_nothing_off(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3])
    (path,) = event_files.find(tmp_path)
    before = path.read_bytes()

    class Gone:
        def __init__(self, name):
            raise tf.errors.AbortedError(None, None, f"{name}; Stale file handle")

    monkeypatch.setattr(event_files.patience, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(event_file_loader, "RawEventFileLoader", Gone)
    said = f"{path} cannot be read now (Stale file handle); give the same command when the disk is"
    with pytest.raises(OSError, match=f"^{re.escape(said)} back\\.$"):
        event_files.truncate(tmp_path, 2)
    assert path.read_bytes() == before


def test_a_disk_that_is_away_for_a_moment_is_read_again(tmp_path, monkeypatch):
    write(tmp_path, [1, 2, 3])
    loader, left = event_file_loader.RawEventFileLoader, [2]

    def away(name):
        left[0] -= 1
        if left[0] >= 0:
            raise tf.errors.AbortedError(None, None, f"{name}; Stale file handle")
        return loader(name)

    with monkeypatch.context() as patch:
        patch.setattr(event_files.patience, "PAUSES_SECONDS", (0.0, 0.0))
        patch.setattr(event_file_loader, "RawEventFileLoader", away)
        assert event_files.truncate(tmp_path, 2) == ()
    assert left[0] < 0
    assert event_values.read(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 1.0}
