"""Cuts the octets of a TCP or TLS connection into messages, by Content-Length.

Source: RFC 3261 sections 7.5 and 18.3; RFC 5626 section 3.5.1 for the keep-alive of line breaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ParseError
from .message import MAX_MESSAGE

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d{1,10})[ \t]*\r?$")
_ANY_CONTENT_LENGTH = re.compile(rb"(?im)^(?:content-length|l)[ \t]*:")


@dataclass(frozen=True, slots=True)
class Ping:
    """Two line breaks where a message would begin: the peer wants one back."""


class StreamFramer:
    """Gather what comes in; hand out whole messages, in order."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    @property
    def has_begun(self) -> bool:
        """Whether a part of a message is waiting for the rest."""
        return bool(self._buffer.strip(b"\r\n"))

    def feed(self, data: bytes) -> list[bytes | Ping]:
        """Take what came in; returns the messages and pings that are complete by now.

        Raises:
            ParseError: what follows cannot be made out any more, or is too large: close the connection.
        """
        self._buffer += data
        complete: list[bytes | Ping] = []
        while True:
            complete += [Ping()] * self._skip_line_breaks()
            message = self._next_message()
            if message is None:
                return complete
            complete.append(message)

    def _skip_line_breaks(self) -> int:
        """Drop line breaks before a message; returns how many pings they are. A lone break is a pong, or half a ping."""
        pings = 0
        while self._buffer.startswith(b"\r\n\r\n"):
            del self._buffer[:4]
            self._searched = 0
            pings += 1
        if (
            self._buffer.startswith(b"\r\n")
            and len(self._buffer) > 2
            and bytes(self._buffer[2:3]) not in (b"\r", b"\n")
        ):
            del self._buffer[:2]
            self._searched = 0
        while self._buffer.startswith(b"\n"):
            del self._buffer[:1]
        return pings

    def _next_message(self) -> bytes | None:
        if not self._buffer or bytes(self._buffer[:1]) in (b"\r", b"\n"):
            return None
        match = _END_OF_HEADERS.search(self._buffer, max(0, self._searched - 3))
        if match is None:
            self._searched = len(self._buffer)
            if self._searched > self._limit:
                raise ParseError(f"a header goes on for more than {self._limit} octets")
            return None
        head = bytes(self._buffer[: match.start()])
        lengths = _CONTENT_LENGTH.findall(head)
        if len(lengths) != len(_ANY_CONTENT_LENGTH.findall(head)) or len(set(map(int, lengths))) > 1:
            raise ParseError("Content-Length is malformed or ambiguous, so the next message cannot be found")
        size = match.end() + (int(lengths[0]) if lengths else 0)
        if size > self._limit:
            raise ParseError(f"a message has {size} octets; the limit is {self._limit}")
        if len(self._buffer) < size:
            return None
        message = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = 0
        return message
