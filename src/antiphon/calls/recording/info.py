"""What is known of a recording, and what can go wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ...models.errors import AntiphonError
from .ogg_opus import CHANNELS, CODEC, SAMPLE_RATE


class RecordingError(AntiphonError):
    """Root of the errors of recordings."""


class RecordingNotFound(RecordingError):
    """The call has no recording."""


class RecordingNotReady(RecordingError):
    """The call is still being recorded."""


class RecordingUnavailable(RecordingError):
    """There is a recording, but what it is stored on does not give it out now."""


class RecordingState(StrEnum):
    RECORDING = "recording"
    STORED = "stored"
    FAILED = "failed"


def summary_of(recording: Mapping[str, Any]) -> dict[str, Any]:
    """A document of `recordings` as the call's document has it, under `recording`."""
    names = ("id", "state", "seconds", "bytes")
    return {**{name: recording[name] for name in names}, "error": recording["error"] or None}


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """One recording.

    Attributes:
        id: of its document in `recordings`.
        state: stored means complete and on a disk; failed means that audio is missing, though there may be some.
        seconds: length of what is playable.
        bytes: size of the file.
        started_at: wall-clock seconds of the first sample.
        gaps: how many times audio was lost, with silence in its place; `gap_seconds` of it in all.
        error: why it failed; empty if it did not.
    """

    id: str
    call_id: str
    state: RecordingState
    started_at: float
    seconds: float = 0.0
    bytes: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    error: str = ""
    sample_rate: int = SAMPLE_RATE
    channels: int = CHANNELS
    codec: str = CODEC

    @property
    def fields(self) -> dict[str, Any]:
        """As in the `recordings` collection, without `id`."""
        fields = asdict(self)
        del fields["id"]
        return {**fields, "state": str(self.state)}

    @property
    def summary(self) -> dict[str, Any]:
        """As in the call's document, under `recording`."""
        return summary_of({"id": self.id, **self.fields})
