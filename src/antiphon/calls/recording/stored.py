"""A recording that can be read: whole or in ranges, from wherever it lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from .info import RecordingUnavailable
from .ogg_opus import MEDIA_TYPE
from .storage import Place, RecordingStorage

CHUNK = 256 * 1024


@dataclass(frozen=True)
class StoredRecording:
    """Made by `Recordings.open`.

    Attributes:
        id: of the recording.
        size: in bytes.
        etag: as in the HTTP header, with its quotes; the file never changes.
        filename: to save it under.
        modified_at: wall-clock seconds.
        media_type: `audio/ogg`.
    """

    id: str
    call_id: str
    size: int
    etag: str
    filename: str
    modified_at: float
    storage: RecordingStorage
    places: Sequence[Place]
    name: str
    media_type: str = MEDIA_TYPE

    async def read(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` (exclusive; None: all), in pieces.

        Raises:
            RecordingUnavailable: the storage failed or does not answer; what came before is right.
        """
        end = self.size if end is None else min(end, self.size)
        position = max(0, start)
        while position < end:
            data = await self._piece(position, min(end, position + CHUNK))
            if not data:
                raise RecordingUnavailable(f"recording {self.id} is shorter than it was")
            yield data
            position += len(data)

    async def _piece(self, start: int, end: int) -> bytes:
        for place in self.places:
            try:
                return await self.storage.run(place.read, self.name, start, end)
            except FileNotFoundError:
                continue  # it may have been moved while it was read
        raise RecordingUnavailable(f"recording {self.id} is not in its place any more")
