"""Pickles of plain arrays, read without running anything that a pickle may hold.

A pickle names functions and calls them; loading one from elsewhere is running a program. Here
every name is refused but the few that NumPy writes for an array, and these are not
called either: small records stand in for them, and arrays are made of those afterwards. Of
dtypes only numbers of fixed size are read.

Read are protocols 0 to 5, from Python 2 too, whose text is taken for bytes.
"""

import pickle
from typing import Any, BinaryIO

import numpy as np


class _Dtype:
    """What `numpy.dtype(code, ...)` and its state were called with."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = _text(code)
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def made(self) -> np.dtype:
        if self.code[:1] not in "biuf" or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"an array of dtype {self.code!r}")
        order = self.order if self.order in ("<", ">", "|", "=") else "|"
        return np.dtype(self.code).newbyteorder(order)


class _Array:
    """An array's shape, dtype, order and bytes, as its pickle states them."""

    __slots__ = ("state",)

    def __init__(self, *_: Any) -> None:
        self.state = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def made(self) -> np.ndarray:
        if self.state is None:
            raise pickle.UnpicklingError("an array without contents")
        _, shape, dtype, fortran, raw = self.state
        return _filled(raw, dtype, shape, "F" if fortran else "C")


class _Buffer:
    """An array as protocol 5 writes it: bytes, dtype, shape and order."""

    __slots__ = ("arguments",)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def made(self) -> np.ndarray:
        raw, dtype, shape, order = self.arguments
        return _filled(raw, dtype, shape, "F" if _text(order) == "F" else "C")


class _Bytes:
    """`_codecs.encode(text, "latin1")`, how protocol 2 of Python 3 writes bytes."""

    __slots__ = ("text",)

    def __init__(self, text: Any = "", encoding: Any = "") -> None:
        if _text(encoding) not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
        self.text = text

    def made(self) -> bytes:
        return self.text.encode("latin1")


class _Name:
    """Stands for the class `numpy.ndarray`, which is an argument only."""

    __slots__ = ()


_ALLOWED = {
    ("_codecs", "encode"): _Bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Name,
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = _Buffer


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None


def load(file: BinaryIO) -> Any:
    """What a pickle of arrays, numbers, text and builtin containers holds.

    Args:
        file: open for reading bytes.

    Returns:
        As pickled; arrays may be read-only views of the bytes read, text of Python 2 is bytes.

    Raises:
        ValueError: the pickle is broken or holds anything else.
    """
    try:
        return _made(_Reader(file, encoding="bytes").load())
    except Exception as error:  # Broken pickles end in IndexError, EOFError, AttributeError ...
        raise ValueError(
            "a pickle may hold only arrays of numbers, numbers, text, lists, tuples and "
            f"dictionaries; got {error or type(error).__name__}."
        ) from error


def _made(value: Any) -> Any:
    if isinstance(value, _Array | _Buffer | _Bytes | _Dtype):
        return value.made()
    if isinstance(value, dict):
        return {_made(key): _made(item) for key, item in value.items()}
    # A million numbers are common and need no look at each.
    if type(value) is list and value and type(value[0]) is int:
        return value
    if isinstance(value, list | tuple):
        return type(value)(map(_made, value))
    return value


def _filled(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    raw = raw.made() if isinstance(raw, _Bytes) else raw
    if not isinstance(raw, bytes | bytearray | pickle.PickleBuffer) or type(dtype) is not _Dtype:
        raise pickle.UnpicklingError("an array that is not made of bytes")
    return np.frombuffer(raw, dtype.made()).reshape(tuple(map(int, shape)), order=order)


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
