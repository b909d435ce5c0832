"""Checksums of files of any size."""

import hashlib
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
