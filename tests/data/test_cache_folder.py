"""The lock on a cache's folder: one that holds between machines, and stands in nobody's way."""

import errno
import fcntl
import os

import pytest

from drw_tf.data import cache_folder


def test_the_lock_is_that_of_a_file_that_is_open_for_writing(tmp_path):
    with (
        cache_folder.alone(str(tmp_path)),
        open(tmp_path / cache_folder.LOCK, "r+b") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (tmp_path / cache_folder.LOCK).stat().st_size == 0
    with cache_folder.alone(str(tmp_path)):
        pass


def test_a_filled_cache_that_cannot_be_written_to_is_read(tmp_path, monkeypatch):
    opened = os.open

    def read_only(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    with cache_folder.alone(str(tmp_path)):
        assert not list(tmp_path.iterdir())


def test_a_disk_without_locks_is_used_by_one_at_a_time(tmp_path, monkeypatch, caplog):
    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    with cache_folder.alone(str(tmp_path)):
        pass
    assert f"{tmp_path} cannot be locked: let one process at a time fill it" in caplog.text


def test_a_disk_that_fails_is_no_read_only_one(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", fails)
    with pytest.raises(OSError, match="No space"), cache_folder.alone(str(tmp_path)):
        pass
