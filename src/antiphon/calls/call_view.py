"""A call as others see it: without how the platform keeps and runs it."""

from __future__ import annotations

from ..store import Document

PUBLIC = (
    "id",
    "status",
    "direction",
    "created_at",
    "assistant_id",
    "assistant_name",
    "service",
    "room",
    "identity",
    "trunk_id",
    "inbound_id",
    "caller_number",
    "called_number",
    "variables",
    "context",
    "context_lookup",
    "metadata",
    "scheduled_at",
    "queued_at",
    "dialing_at",
    "ringing_at",
    "answered_at",
    "agent_ready_at",
    "media_path_ready_at",
    "media_at",
    "ended_at",
    "end_reason",
    "billed_seconds",
    "sip_code",
    "detail",
    "usage",
    "metrics",
    "media",
    "recording",
)


def show_call(call: Document) -> Document:
    """The public fields that a call has."""
    return {name: call[name] for name in PUBLIC if name in call}
