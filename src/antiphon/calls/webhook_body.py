"""What a webhook says: the call as it ended, what was said, what was used, and where the recording is.

Source: Standard Webhooks specification, "Payload structure": `type`, `timestamp` (ISO 8601), `data`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..store import Document
from .call_view import show_call

# Many web servers take no more than 1 MiB unless told so.
MOST_BYTES = 1_000_000

_OF_THE_ENTRY = frozenset(
    {"call_id", "created_at", "id", "updated_at", "version", "expires_at", "deleted_at"}
)


def webhook_body(
    event: Mapping[str, Any],
    call: Document,
    transcript: Sequence[Document],
    *,
    public_url: str = "",
    most_bytes: int = MOST_BYTES,
) -> str:
    """The JSON of one webhook.

    Args:
        event: of the call's outbox, with `webhook`, the type to announce, and `at`.
        call: the call as it is stored.
        transcript: its entries as they are stored.
        public_url: where this platform is reached; empty: the address of the recording is not known.
        most_bytes: of the whole; entries at the end of a longer transcript are left out, and `transcript_truncated` says so.
    """
    entries = [
        {name: value for name, value in entry.items() if name not in _OF_THE_ENTRY}
        for entry in sorted(transcript, key=_place)
    ]
    data: dict[str, Any] = {
        "call": show_call(call),
        "transcript": [],
        "transcript_truncated": False,
        "usage": call.get("usage") or {},
        "recording_url": recording_url(call, public_url),
    }
    timestamp = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="milliseconds")
    body = {"type": event["webhook"], "timestamp": timestamp.replace("+00:00", "Z"), "data": data}
    left = most_bytes - len(_json(body).encode())
    for entry in entries:
        left -= len(_json(entry).encode()) + 1
        if left < 0:
            data["transcript_truncated"] = True
            break
        data["transcript"].append(entry)
    return _json(body)


def recording_url(call: Mapping[str, Any], public_url: str) -> str | None:
    """Where the recording of a call is, or will be in a moment; None if there is none."""
    recording = call.get("recording")
    if not public_url or not recording or recording.get("state") == "failed":
        return None
    return f"{public_url.rstrip('/')}/calls/{call['id']}/recording"


def _place(entry: Mapping[str, Any]) -> tuple[int, float]:
    return entry.get("seq", 0), entry.get("created_at", 0.0)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
