"""The random parts of messages: branches, tags, Call-IDs, nonces and keys."""

from __future__ import annotations

import random

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Ids:
    """Draws from one source of randomness: the system's, or a seeded one where tests must repeat."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._source = source or random.SystemRandom()

    def _text(self, length: int) -> str:
        number, letters = self._source.getrandbits(length * 6), []
        for _ in range(length):
            number, index = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[index])
        return "".join(letters)

    def branch(self) -> str:
        """A transaction's name (RFC 3261 section 8.1.1.7)."""
        return f"z9hG4bK{self._text(20)}"

    def tag(self) -> str:
        """A dialog's half (RFC 3261 section 19.3)."""
        return self._text(16)

    def call_id(self) -> str:
        """A Call-ID, without the host, which is nobody's business (RFC 3261 section 8.1.1.4)."""
        return self._text(28)

    def cnonce(self) -> str:
        """A client nonce (RFC 7616 section 3.4)."""
        return self._text(20)

    def number(self) -> int:
        """A session id for `o=`, or a first sequence number."""
        return self._source.randrange(1, 2**31 - 2**16)

    def octets(self, length: int) -> bytes:
        """Key material."""
        return self._source.randbytes(length)

    def between(self, low: float, high: float) -> float:
        """A random wait in seconds, in steps of 10 ms (RFC 3261 section 14.1)."""
        return round(self._source.uniform(low, high), 2)
