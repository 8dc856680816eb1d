"""Token numbers to text, from the `tokenizer.bin` of a Moonshine model.

The file is the vocabulary in order: each entry a length and that many bytes. A length below 128 is one byte, a longer
one two: the low seven bits with the top bit set, then the rest. A space is written as U+2581.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ....models.errors import ConfigurationError

START = 1
STOP = 2

_SPACE = "\u2581".encode()


class Tokenizer:
    """The vocabulary of one model."""

    def __init__(self, entries: list[bytes]) -> None:
        self._entries = [b"" if _is_control(entry) else entry.replace(_SPACE, b" ") for entry in entries]

    @classmethod
    def read(cls, path: Path) -> Tokenizer:
        """Load a file.

        Raises:
            ConfigurationError: the file is not a vocabulary.
        """
        data = path.read_bytes()
        entries: list[bytes] = []
        position = 0
        while position < len(data):
            length = data[position]
            position += 1
            if length >= 128:
                if position >= len(data):
                    raise ConfigurationError(
                        f"{path} ends in the middle of an entry; reinstall moonshine-voice"
                    )
                length += (data[position] - 1) * 128
                position += 1
            entries.append(data[position : position + length])
            position += length
        if position != len(data):
            raise ConfigurationError(f"{path} ends in the middle of an entry; reinstall moonshine-voice")
        return cls(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of some tokens; control tokens have none, broken characters are left out."""
        return b"".join(self._entries[token] for token in tokens).decode("utf-8", "ignore").strip()


def _is_control(entry: bytes) -> bool:
    return entry in (b"<unk>", b"<s>", b"</s>") or (entry.startswith(b"<<") and entry.endswith(b">>"))
