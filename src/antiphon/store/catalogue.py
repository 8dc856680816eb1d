"""The collections of the platform."""

from __future__ import annotations

from .documents import Collection

ASSISTANTS = Collection(
    "assistants",
    "asst",
    indexed=("name",),
    secret=(
        "stt.api_key",
        "llm.api_key",
        "tts.api_key",
        "realtime.api_key",
        "end_call_webhook.secret",
        "end_call_webhook.headers",
    ),
)
TOOLS = Collection("tools", "tool", indexed=("name",), secret=("webhook.secret", "webhook.headers"))
TRUNKS = Collection("trunks", "trunk", indexed=("name",), secret=("auth.password", "auth.token"))
INBOUND_SIP = Collection(
    "inbound_sip", "in", unique=("number",), indexed=("number", "assistant_id", "inbound_context_strategy_id")
)
INBOUND_CONTEXT_STRATEGIES = Collection(
    "inbound_context_strategies", "strategy", indexed=("name",), secret=("secret", "headers")
)
CALLS = Collection(
    "calls",
    "call",
    unique=("idempotency_key",),
    indexed=("status", "assistant_id", "direction", "room", "trunk_id", "owner", "idempotency_key"),
    narrowed=("assistant_id", "status", "direction"),
    queues=("status", "trunk_id"),
    leased=True,
)
CALL_EVENTS = Collection("call_events", "event", unique=("event_id",), indexed=("call_id",))
TRANSCRIPTS = Collection("transcripts", "turn", indexed=("call_id",))
WEBHOOK_DELIVERIES = Collection(
    "webhook_deliveries",
    "delivery",
    unique=("event_id",),
    indexed=("status", "call_id"),
    narrowed=("status",),
    secret=("secret", "headers"),
    leased=True,
)
API_KEYS = Collection("api_keys", "key", unique=("hash",), indexed=("name", "hash"))
RECORDINGS = Collection("recordings", "rec", indexed=("call_id", "state", "upload"))
PACING = Collection("pacing", "pace")

COLLECTIONS: tuple[Collection, ...] = (
    ASSISTANTS,
    TOOLS,
    TRUNKS,
    INBOUND_SIP,
    INBOUND_CONTEXT_STRATEGIES,
    CALLS,
    CALL_EVENTS,
    TRANSCRIPTS,
    WEBHOOK_DELIVERIES,
    API_KEYS,
    RECORDINGS,
    PACING,
)
