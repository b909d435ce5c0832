import io
import os
import pickle
import struct
from typing import ClassVar

import numpy as np
import pytest

from drw_tf.data import array_pickle

PIXELS = np.arange(256, dtype=np.uint8).reshape(4, 64)


def load(contents):
    return array_pickle.load(io.BytesIO(contents))


class PythonTwo(pickle._Pickler):
    """Writes bytes as Python 2 writes its text, and refuses what Python 2 does not know."""

    def save_text(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch: ClassVar[dict] = {**pickle._Pickler.dispatch, bytes: save_text}


def python_two(value):
    buffer = io.BytesIO()
    PythonTwo(buffer, protocol=2).dump(value)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [PIXELS, np.asfortranarray(PIXELS), np.array([1, 1000], ">i4"), np.linspace(0, 1, 5)],
    ids=["pixels", "columns", "big-endian", "floats"],
)
def test_arrays_of_every_protocol_come_back(protocol, array):
    got = load(pickle.dumps({"data": array, "labels": [3, 1, 2]}, protocol))
    np.testing.assert_array_equal(got["data"], array)
    assert got["labels"] == [3, 1, 2]


def test_pickles_of_python_2_are_read_with_every_byte_intact():
    contents = python_two({b"data": PIXELS, b"labels": [1, 2, 3, 4]})
    got = load(contents)
    np.testing.assert_array_equal(got[b"data"], PIXELS)
    assert got[b"labels"] == [1, 2, 3, 4]


class Runs:
    """Runs a command when it is unpickled, as any object may."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path, protocol):
    target = tmp_path / "ran"
    contents = pickle.dumps({"data": PIXELS, "labels": Runs(target)}, protocol)
    with pytest.raises(ValueError, match=r"only arrays of numbers.*(posix|nt)\.system"):
        load(contents)
    assert not target.exists()
    pickle.loads(contents)  # The same bytes do run in the reader of the standard library.
    assert target.exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", r"builtins\.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", r"numpy\.load"),
        (b"cnumpy.core.multiarray\nscalar\n.", "scalar"),
        (pickle.dumps(np.array(["text"])), "dtype 'U4'"),
        (pickle.dumps(PIXELS)[:-40], "truncated|ran out|Ran out"),
        (b"", "Ran out of input"),
        (b"no pickle", "only arrays"),
    ],
)
def test_anything_but_arrays_is_refused(contents, message):
    with pytest.raises(ValueError, match=message):
        load(contents)


def test_an_array_of_objects_is_refused():
    with pytest.raises(ValueError, match="an array that is not made of bytes"):
        load(pickle.dumps(np.array([None, 1], object)))


def test_a_shape_that_the_bytes_do_not_fill_is_refused():
    contents = pickle.dumps(PIXELS, 2).replace(b"K\x04K@\x86", b"K\x05K@\x86")
    assert contents != pickle.dumps(PIXELS, 2)
    with pytest.raises(ValueError, match="cannot reshape"):
        load(contents)
