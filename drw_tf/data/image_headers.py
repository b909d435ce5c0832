"""Format and size of a picture file from its header, without decoding anything.

A header may claim any size, so the size is read before a decoder sees the file. Pillow is not
asked: its WebP reader allocates the whole picture when it opens one.
"""

import dataclasses
import struct
from typing import BinaryIO

# Start-of-frame markers; 0xC4, 0xC8 and 0xCC are other things. TensorFlow reads the first three.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_USUAL_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# Markers without a length: TEM, the restarts, start of image.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header and the end of a picture file say.

    Attributes:
        format: "JPEG", "PNG", "GIF", "BMP" or "WEBP".
        height: pixels, as stored (a camera's orientation is not applied); of a GIF those of
            its canvas, or as far as its first picture reaches beyond that.
        width: pixels.
        complete: whether the file is of a usual kind and ends as it should, a JPEG also before
            its last bytes; where not, only decoding tells whether it can be read.
    """

    format: str
    height: int
    width: int
    complete: bool


def read(file: BinaryIO, size: int) -> Header:
    """The header of an open file.

    Args:
        file: open for reading bytes, at its start.
        size: bytes in the file.

    Raises:
        ValueError: the file is no picture of a known format, or its header is broken.
    """
    head = file.read(32)
    file.seek(max(0, size - 12))
    tail = file.read(12)
    try:
        if head.startswith(b"\xff\xd8\xff"):
            height, width, usual = _jpeg(file)
            # Telephones write more behind the end, a film for instance. Between the frame and
            # its end there is none of these bytes: pictures within notes lie before the frame.
            ended = tail.endswith(_JPEG_END) or (usual and _JPEG_END in file.read())
            return Header("JPEG", height, width, usual and ended)
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", head[16:24])
            return Header("PNG", height, width, head[12:16] == b"IHDR" and tail == _PNG_END)
        if head.startswith((b"GIF87a", b"GIF89a")):
            height, width = _gif(file, head)
            return Header("GIF", height, width, tail.endswith(b";"))
        if head.startswith(b"BM"):
            return _bmp(head, size)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head, size)
    except (struct.error, IndexError):
        raise ValueError("its header is cut off") from None
    raise ValueError(f"no JPEG, PNG, GIF, BMP or WebP: it begins with {head[:8]!r}")


def _jpeg(file: BinaryIO) -> tuple[int, int, bool]:
    """Height, width, whether it is of a kind that TensorFlow reads."""
    file.seek(2)
    while True:
        if file.read(1) != b"\xff":
            raise ValueError("its JPEG header is broken")
        marker = file.read(1)[0]
        while marker == 0xFF:
            marker = file.read(1)[0]
        if marker in _BARE:
            continue
        if marker in (0xD9, 0xDA):
            raise ValueError("its JPEG header names no size")
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _FRAMES:
            bits, height, width = struct.unpack(">BHH", file.read(5))
            return height, width, bits == 8 and marker in _USUAL_FRAMES
        file.seek(length - 2, 1)


def _gif(file: BinaryIO, head: bytes) -> tuple[int, int]:
    """Height and width of the canvas, or as far as the first picture reaches beyond it."""
    width, height = struct.unpack("<HH", head[6:10])
    file.seek(13 + _palette_bytes(head[10]))
    while (kind := file.read(1)) == b"!":
        file.seek(1, 1)
        while (length := file.read(1)) and length[0]:
            file.seek(length[0], 1)
    if kind == b",":
        left, top, wide, high = struct.unpack("<HHHH", file.read(8))
        width, height = max(width, left + wide), max(height, top + high)
    return height, width


def _palette_bytes(packed: int) -> int:
    return 3 << (packed & 7) + 1 if packed & 128 else 0


def _bmp(head: bytes, size: int) -> Header:
    offset, header = struct.unpack("<II", head[10:18])
    if header == 12:
        width, height = struct.unpack("<HH", head[18:22])
        return Header("BMP", height, width, False)
    width, height, _, bits = struct.unpack("<iiHH", head[18:30])
    row = (abs(width) * bits + 31) // 32 * 4
    whole = head[30:32] == b"\x00\x00" and size >= offset + row * abs(height)
    return Header("BMP", abs(height), max(width, 0), whole)


def _webp(head: bytes, size: int) -> Header:
    complete = size >= struct.unpack("<I", head[4:8])[0] + 8
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", head[26:30]))
    elif kind == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        height = int.from_bytes(head[27:30], "little") + 1
    else:
        raise ValueError(f"its WebP header is broken: chunk {kind!r}")
    if len(head) < 30:
        raise ValueError("its header is cut off")
    return Header("WEBP", height, width, complete)
