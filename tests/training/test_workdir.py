"""The lock of a run's folder: how long it is waited for, and that it is still held."""

import errno
import fcntl
import os
import re
import threading
import time

import pytest
import tensorflow as tf

from drw_tf.training import checkpoint, workdir


@pytest.fixture
def held(tmp_path):
    folder = workdir.Workdir(tmp_path)
    yield folder
    folder.release()


def test_a_lock_is_waited_for_and_the_wait_is_told(held, caplog):
    timer = threading.Timer(0.3, held.release)
    timer.start()
    own = workdir.Workdir(held.path, wait_seconds=20)
    timer.join()
    own.release()
    (told,) = caplog.messages
    assert "is in use by process" in told
    assert told.endswith("waiting for it.")


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_lock_that_stays_is_refused_after_that_time(held, seconds):
    began = time.monotonic()
    with pytest.raises(workdir.WorkdirError, match="in use by process"):
        workdir.Workdir(held.path, wait_seconds=seconds)
    assert seconds <= time.monotonic() - began < seconds + 5


def checkpoints_of(folder):
    module = tf.Module()
    module.value = tf.Variable(0.0)
    return checkpoint.Checkpoints(
        folder.checkpoints, module, keep=2, require_held=folder.require_held
    )


def test_a_run_whose_folder_was_moved_away_writes_into_no_other_run(tmp_path):
    first = workdir.Workdir(tmp_path / "run")
    checkpoints = checkpoints_of(first)
    checkpoints.save(10, {"step": 10})
    (tmp_path / "run").rename(tmp_path / "moved")
    said = rf"^--workdir={tmp_path}/run or its lock was moved or removed .*\.$"
    with pytest.raises(workdir.WorkdirError, match=said) as caught:
        checkpoints.save(20, {"step": 20})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    second = workdir.Workdir(tmp_path / "run")
    with pytest.raises(workdir.WorkdirError, match=said):
        checkpoints.save(20, {"step": 20})
    for write in (first.write_config, first.write_data, first.write_makers):
        with pytest.raises(workdir.WorkdirError, match=said):
            write("{}")
    assert sorted(path.name for path in second.path.iterdir()) == ["lock"]
    second.write_config("{}")
    with pytest.raises(workdir.WorkdirError, match=said):
        first.set_aside()
    assert second.config.read_text() == "{}"
    checkpoints_of(second).save(5, {"step": 5})
    assert [path.name for path in second.checkpoints.iterdir()] == ["step_000000005"]
    kept = [path.name for path in (tmp_path / "moved" / "checkpoints").iterdir()]
    assert kept == ["step_000000010"]
    first.release(), second.release()


def test_a_lock_that_another_process_was_given_meanwhile_is_not_held(held):
    checkpoints = checkpoints_of(held)
    (held.path / "lock").write_text("7 on another machine")
    said = re.escape(f"--workdir={held.path} was taken over by process 7 on another machine while")
    with pytest.raises(workdir.WorkdirError, match=f"^{said}"):
        checkpoints.save(10, {"step": 10})
    assert not held.checkpoints.exists()


def test_a_lock_that_a_process_of_the_same_name_was_given_is_not_held(tmp_path, monkeypatch):
    # As of a container, whose process is 1, and whose replacement has the same host name.
    monkeypatch.setattr(workdir.platform, "node", lambda: "run-0")
    times = iter(("2024-05-01 10:00:00", "2024-05-01 10:07:30"))
    monkeypatch.setattr(workdir.time, "strftime", lambda *_: next(times))
    first = workdir.Workdir(tmp_path)
    fcntl.flock(first._lock, fcntl.LOCK_UN)  # as a server does that takes its machine for dead
    second = workdir.Workdir(tmp_path)
    second.require_held()
    said = f"was taken over by process {os.getpid()} on run-0 since 2024-05-01 10:07:30 while"
    with pytest.raises(workdir.WorkdirError, match=said):
        first.require_held()
    first.release(), second.release()


def test_a_lock_of_which_nothing_is_known_now_is_one_line(held, monkeypatch):
    def gone(*_):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(workdir.patience, "PAUSES_SECONDS", (0.0, 0.0))
        patch.setattr(workdir.os, "fstat", gone)
        with pytest.raises(workdir.WorkdirError, match=r"cannot be read: Stale file handle\.$"):
            held.require_held()


def test_a_disk_that_is_away_for_a_moment_takes_no_lock(held, monkeypatch):
    real, left = os.fstat, [2]

    def away(*arguments):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(workdir.patience, "PAUSES_SECONDS", (0.0, 0.0))
        patch.setattr(workdir.os, "fstat", away)
        held.require_held()
    assert left[0] < 0


def test_who_has_no_lock_has_none_to_lose(tmp_path):
    workdir.Layout(tmp_path).require_held()
