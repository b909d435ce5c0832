"""Checksums of files of any size."""

import errno
import hashlib
import os
import tracemalloc

import pytest

from drw_tf import whole_files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # FIPS 180-4's example, and of nothing, as NIST gives them.
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_the_checksum_is_sha_256(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert whole_files.checksum(tmp_path / "file") == expected


def test_a_large_file_is_not_taken_into_memory_as_a_whole(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.seek(40 << 20)  # a hole: no disk is filled
        file.write(b"end")
    tracemalloc.start()
    found = whole_files.checksum(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert found == hashlib.sha256(bytes(40 << 20) + b"end").hexdigest()


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "record.json"
    with pytest.raises(OSError, match="No space") as caught, whole_files.replaced(path) as file:
        file.write("{}")
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError) as caught, whole_files.replaced(tmp_path / "a" / "b"):
        pass
    assert caught.value.filename == str(tmp_path / "a" / "b")


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, whole_files.replaced(tmp_path / "table"):
        (tmp_path / "picture").read_bytes()
    assert caught.value.filename == str(tmp_path / "picture")
