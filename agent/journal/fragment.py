"""Compression done once: a record's lines as a raw-deflate fragment that others can follow.

A fragment ends with a sync flush (an empty stored block, byte aligned) and refers to nothing
before it. So fragments put one behind the other, between a gzip header and a final empty block
with the combined CRC-32, are one standard gzip member; nothing is compressed again.
RFC 1951 (section 3.2.4) and RFC 1952. What isal is for: docs/decisions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from isal import isal_zlib

LEVEL: Final = 1
"""igzip level: a twelfth of the processor time of gzip 6 at nine tenths of its ratio."""
_RAW_DEFLATE: Final = -15
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no flags, no time (the same lines give the same bytes), system unknown."""
_FINAL_EMPTY_BLOCK: Final = b"\x03\x00"


def crc32(data: bytes) -> int:
    """CRC-32 as in gzip."""
    return isal_zlib.crc32(data)


def compress(data: bytes) -> bytes:
    """Raw deflate of `data`, ended by a sync flush."""
    packer = isal_zlib.compressobj(level=LEVEL, wbits=_RAW_DEFLATE)
    return packer.compress(data) + packer.flush(isal_zlib.Z_SYNC_FLUSH)


def join(parts: Iterable[tuple[bytes, int, int]]) -> bytes:
    """One gzip body of (fragment, CRC-32, uncompressed size) parts, in their order."""
    pieces = [_GZIP_HEADER]
    checksum = size = 0
    for fragment, part_crc32, part_size in parts:
        pieces.append(fragment)
        checksum = isal_zlib.crc32_combine(checksum, part_crc32, part_size)
        size += part_size
    pieces.append(_FINAL_EMPTY_BLOCK)
    pieces.append(struct.pack("<II", checksum, size & 0xFFFFFFFF))
    return b"".join(pieces)


def split(member: bytes) -> tuple[bytes, int, int]:
    """The (fragment, CRC-32, uncompressed size) of a gzip body that `join` made, not unpacked.

    Raises:
        ValueError: it is of another make.
    """
    tail = len(member) - 8
    body_end = tail - len(_FINAL_EMPTY_BLOCK)
    if member[:10] != _GZIP_HEADER or member[body_end:tail] != _FINAL_EMPTY_BLOCK:
        raise ValueError("no gzip body of this program")
    checksum, size = struct.unpack("<II", member[tail:])
    return member[10:body_end], checksum, size


def decompress(fragment: bytes, checksum: int, size: int) -> bytes:
    """The lines of a fragment.

    Raises:
        ValueError: the fragment is damaged: not deflate, or another size or CRC-32.
    """
    try:
        data = isal_zlib.decompressobj(wbits=_RAW_DEFLATE).decompress(fragment, size + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub names an instance
        raise ValueError(f"not deflate: {error}") from error
    if len(data) != size or crc32(data) != checksum:
        raise ValueError("another size or checksum than when it was written")
    return data
