"""The pages of an Ogg file, as far as mending one takes: a writer that was killed leaves half a page at the end.

Source: RFC 3533 section 6 (page format, checksum), RFC 7845 sections 4 and 5.1 (granule positions and header of Opus).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

GRANULE_RATE = 48000
"""Opus counts time in samples of 48 kHz, whatever the rate of what was encoded."""

_HEADER = struct.Struct("<4sBBqIIIB")
_LAST_PAGE = 0x04
_CHECKSUM_AT = 22
_NO_GRANULE = -1


@dataclass(frozen=True)
class Mended:
    """What is playable of a file.

    Attributes:
        seconds: of audio.
        size: of the file in bytes, now.
    """

    seconds: float
    size: int


@dataclass(frozen=True)
class _Page:
    offset: int
    size: int
    flags: int
    granule: int


def mend(file: BinaryIO) -> Mended:
    """Cut off what follows the last whole page and mark that page as the last.

    Args:
        file: an Ogg Opus file, open for reading and writing, at any position.

    Raises:
        ValueError: there is no audio in it.
        OSError: it cannot be read or written.
    """
    pages = list(_pages(file))
    while pages and not _intact(file, pages[-1]):
        pages.pop()
    sounding = [page for page in pages if page.granule > 0]
    if not sounding:
        raise ValueError("there is no audio in the file")
    last = sounding[-1]
    size = last.offset + last.size
    if not last.flags & _LAST_PAGE:
        page = bytearray(_read(file, last.offset, last.size))
        page[5] |= _LAST_PAGE
        page[_CHECKSUM_AT : _CHECKSUM_AT + 4] = _checksum(page)
        file.seek(last.offset)
        file.write(page)
    file.truncate(size)
    file.flush()
    skipped = _pre_skip(_read(file, pages[0].offset, pages[0].size))
    return Mended(max(0, last.granule - skipped) / GRANULE_RATE, size)


def _pages(file: BinaryIO) -> Iterator[_Page]:
    """The pages from the beginning on, up to one that is not whole."""
    end = file.seek(0, os.SEEK_END)
    offset = 0
    while offset + _HEADER.size <= end:
        head = _read(file, offset, _HEADER.size)
        mark, _version, flags, granule, _serial, _number, _sum, segments = _HEADER.unpack(head)
        lacing = _read(file, offset + _HEADER.size, segments)
        size = _HEADER.size + segments + sum(lacing)
        if mark != b"OggS" or len(lacing) < segments or offset + size > end:
            return
        yield _Page(offset, size, flags, granule)
        offset += size


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _intact(file: BinaryIO, page: _Page) -> bool:
    data = _read(file, page.offset, page.size)
    return data[_CHECKSUM_AT : _CHECKSUM_AT + 4] == _checksum(bytearray(data))


def _pre_skip(first_page: bytes) -> int:
    """Samples that a decoder throws away at the beginning."""
    at = first_page.find(b"OpusHead")
    return int.from_bytes(first_page[at + 10 : at + 12], "little") if at >= 0 else 0


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _table()


def _checksum(page: bytearray) -> bytes:
    """The four bytes that belong at 22 of a page, whatever is there now."""
    page = page.copy()
    page[_CHECKSUM_AT : _CHECKSUM_AT + 4] = bytes(4)
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value.to_bytes(4, "little")
