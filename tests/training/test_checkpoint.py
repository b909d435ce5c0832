"""Checkpoints survive damage, full folders and old age."""

import errno
import json
import os
import pathlib

import pytest
import tensorflow as tf

from drw_tf import patience
from drw_tf.training import checkpoint


class Counter(tf.Module):
    def __init__(self):
        super().__init__()
        self.value = tf.Variable(0.0)


@pytest.fixture
def made(tmp_path):
    module = Counter()
    return module, checkpoint.Checkpoints(tmp_path / "checkpoints", module, keep=2)


def save(made, step, **kwargs):
    module, checkpoints = made
    module.value.assign(float(step))
    checkpoints.save(step, {"step": step}, **kwargs)


def restore(made):
    state = made[1].newest()
    if state:
        made[1].load(state["step"])
    return state


def test_restores_the_newest(made):
    save(made, 10)
    save(made, 20)
    made[0].value.assign(-1.0)
    assert restore(made) == {"step": 20}
    assert made[0].value.numpy() == 20.0


def test_nothing_there_is_none(made):
    assert restore(made) is None


def test_keeps_the_newest_and_the_best(made):
    for step in range(10, 60, 10):
        save(made, step, best_step=20)
    assert made[1].steps() == [20, 40, 50]


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_damaged_one_is_named_and_the_one_before_is_used(made, caplog, name, harm):
    save(made, 10)
    save(made, 20)
    path = made[1].folder / "step_000000020" / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif harm == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    assert restore(made) == {"step": 10}
    assert made[0].value.numpy() == 10.0
    assert "step_000000020 is damaged" in caplog.text
    assert name in caplog.text


def test_all_damaged_is_an_error_that_says_what_to_do(made):
    save(made, 10)
    (made[1].folder / "step_000000010" / "checksums.json").write_text("{")
    with pytest.raises(checkpoint.CheckpointError, match="--fresh starts over"):
        restore(made)


@pytest.mark.parametrize("sums", ["{}", "[]", '{"state.json": "0"}'])
def test_checksums_that_do_not_name_the_files_are_damage(made, caplog, sums):
    save(made, 10)
    save(made, 20)
    (made[1].folder / "step_000000020" / "checksums.json").write_text(sums)
    assert restore(made) == {"step": 10}
    assert "must name state.json, variables.index" in caplog.text


def test_whole_numbers_that_an_earlier_version_had_of_32_bits_are_read(made, tmp_path):
    module = made[0]
    module.rows = tf.Variable([-1, 2**31 - 1])
    save(made, 10)
    module.rows = tf.Variable(tf.zeros([2], tf.int64))
    module.value.assign(-1.0)
    checkpoint.Checkpoints(tmp_path / "checkpoints", module, keep=2).load(10)
    assert module.rows.numpy().tolist() == [-1, 2**31 - 1]
    assert module.value.numpy() == 10.0


OTHERS = {"other shape": [0.0, 1.0], "other type": True, "one more": None}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_other_variables_is_one_line(made, tmp_path, value):
    save(made, 10)
    other = Counter()
    if value is None:
        other.more = tf.Variable(0.0)
    else:
        other.value = tf.Variable(value)
    checkpoints = checkpoint.Checkpoints(tmp_path / "checkpoints", other, keep=2)
    with pytest.raises(checkpoint.CheckpointError, match="step_000000010 does not fit") as caught:
        checkpoints.load(10)
    assert "\n" not in str(caught.value)


def test_checksums_of_files_elsewhere_are_damage(made, caplog):
    save(made, 10)
    save(made, 20)
    path = made[1].folder / "step_000000020" / "checksums.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "/dev/zero": "0"}))
    assert restore(made) == {"step": 10}
    assert "names '/dev/zero', which is not a file in it" in caplog.text


def test_other_folders_do_not_count(made):
    save(made, 10)
    (made[1].folder / "step_of_mine").mkdir()
    assert made[1].steps() == [10]


def test_half_written_one_does_not_count(made):
    save(made, 10)
    half = made[1].folder / ".writing"
    half.mkdir()
    (half / "variables.index").write_bytes(b"half")
    assert made[1].steps() == [10]
    save(made, 20)
    assert made[1].steps() == [10, 20]


def test_failed_write_is_one_line_and_leaves_the_last_good_one(made, monkeypatch):
    save(made, 10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(checkpoint.CheckpointError, match="No space left on device") as caught:
        save(made, 20)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert restore(made) == {"step": 10}


def harm(made, step):
    (made[1].folder / f"step_{step:09d}" / "state.json").write_text("harmed")


def test_damaged_later_ones_do_not_push_out_what_is_saved_now(made, monkeypatch):
    for step in (10, 30, 40):
        save(made, step)
    harm(made, 30), harm(made, 40)
    save(made, 10)
    assert restore(made) == {"step": 10}
    for step in (11, 12, 13):
        save(made, step)
    assert made[1].steps() == [12, 13, 30, 40]
    assert restore(made) == {"step": 13}
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", full_disk)
        with pytest.raises(checkpoint.CheckpointError, match="last good one is that of step 13"):
            save(made, 14)
    # Nor where it has come past them.
    save(made, 35)
    assert made[1].steps() == [13, 35, 40]
    save(made, 45)
    assert made[1].steps() == [35, 45]


def test_a_damaged_one_that_is_written_anew_is_sound(made):
    save(made, 10)
    save(made, 20)
    harm(made, 20)
    assert restore(made) == {"step": 10}
    assert made[1].sound_until(20) == [10]
    save(made, 20)
    assert made[1].sound_until(20) == [10, 20]
    save(made, 30)
    assert made[1].steps() == [20, 30]


class Disk:
    """One that does not answer: `refuses` says which file, of those that are left to refuse."""

    def __init__(self, monkeypatch, number, times=float("inf"), refuses=lambda path: True):
        self.number, self.left, self.refuses = number, times, refuses
        monkeypatch.setattr(patience, "PAUSES_SECONDS", (0.0, 0.0))
        for owner, name in ((pathlib.Path, "read_text"), (checkpoint.whole_files, "checksum")):
            monkeypatch.setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, function):
        def read(path, *more):
            if self.left and self.refuses(path):
                self.left -= 1
                raise OSError(self.number, os.strerror(self.number), str(path))
            return function(path, *more)

        return read


@pytest.mark.parametrize("name", ["checksums.json", "state.json", "variables.index"])
@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EIO])
def test_a_disk_that_is_away_for_a_moment_costs_no_checkpoint(made, monkeypatch, name, number):
    save(made, 10)
    save(made, 20)
    disk = Disk(monkeypatch, number, times=2, refuses=lambda path: path.name == name)
    assert restore(made) == {"step": 20}
    assert disk.left == 0


@pytest.mark.parametrize("name", ["checksums.json", "state.json", "variables.index"])
def test_a_disk_that_stays_away_is_no_damage(made, monkeypatch, name):
    save(made, 10)
    Disk(monkeypatch, errno.ESTALE, refuses=lambda path: path.name == name)
    said = r"/step_0+10/.* cannot be read now \(Stale file handle\); give the same command when "
    for read in (made[1].newest, lambda: made[1].state_of(10)):
        with pytest.raises(checkpoint.DiskGone, match=said) as caught:
            read()
        assert isinstance(caught.value, OSError)
        assert "\n" not in str(caught.value)
        assert "--fresh" not in str(caught.value)


def test_a_disk_that_another_worker_alone_cannot_read_is_no_folder_of_another_kind(
    made, monkeypatch
):
    class Second:
        workers, worker = 2, 1

        def from_chief(self, choose):
            return 10

    save(made, 10)
    made[1].team = Second()
    with monkeypatch.context() as patch:
        Disk(patch, errno.ESTALE)
        with pytest.raises(checkpoint.DiskGone):
            made[1].newest()
    assert made[1].newest() == {"step": 10}
    harm(made, 10)
    with pytest.raises(checkpoint.CheckpointError, match="must be a folder that all workers share"):
        made[1].newest()


def test_an_error_of_reading_that_stays_is_damage(made, monkeypatch, caplog):
    save(made, 10)
    save(made, 20)
    Disk(monkeypatch, errno.EIO, refuses=lambda path: path.parent.name == "step_000000020")
    assert restore(made) == {"step": 10}
    assert "step_000000020 is damaged (checksums.json: " in caplog.text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (tf.errors.AbortedError, checkpoint.DiskGone),
        (tf.errors.UnknownError, checkpoint.DiskGone),
        # That memory is short is said elsewhere.
        (tf.errors.ResourceExhaustedError, tf.errors.ResourceExhaustedError),
        (tf.errors.NotFoundError, checkpoint.CheckpointError),
    ],
)
def test_a_disk_that_goes_while_variables_are_loaded_is_one_line(made, monkeypatch, kind, expected):
    save(made, 10)

    def gone(self, prefix):
        raise kind(None, None, f"{prefix}; Stale file handle\n[Op:RestoreV2]")

    monkeypatch.setattr(tf.train.Checkpoint, "read", gone)
    with pytest.raises(expected) as caught:
        made[1].load(10)
    if expected is checkpoint.DiskGone:
        assert str(caught.value).endswith("handle); give the same command when the disk is back.")
        assert "\n" not in str(caught.value)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_one_that_was_moved_away_for_another_comes_back(made, monkeypatch):
    save(made, 10)
    folder, replace = made[1].folder, os.replace
    # Killed between the two moves.
    (folder / "step_000000010").rename(folder / ".replaced")
    made[1].restore_replaced()
    assert restore(made) == {"step": 10}

    def second_fails(source, target):
        if source.name == ".writing":
            full_disk()
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", second_fails)
    with pytest.raises(checkpoint.CheckpointError, match="the last good one is that of step 10"):
        save(made, 10)
    assert restore(made) == {"step": 10}
    # There is nothing to bring back over one that is whole.
    made[1].restore_replaced()
    assert restore(made) == {"step": 10}


def test_a_worker_without_a_temporary_folder_says_so(made, monkeypatch):
    class Second:
        is_chief, worker = False, 1

        def is_lost(self, error):
            return False

    monkeypatch.setattr(checkpoint.tempfile, "mkdtemp", full_disk)
    made[1].team = Second()
    with pytest.raises(checkpoint.CheckpointError, match=r"worker 1's part .*No space left"):
        save(made, 10)
