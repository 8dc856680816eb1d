"""What the REST interface takes and gives, as pydantic models: for the OpenAPI document, and to read small bodies."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from ...calls.assistant import Assistant
from ...calls.context_strategy import ContextStrategy
from ...calls.document import Document
from ...calls.number_mapping import NumberMapping, normalize_e164
from ...calls.status import CallDirection, CallStatus, EndReason
from ...calls.tool_definition import ToolDefinition
from ...calls.trunk import Trunk
from ..api_keys import DEFAULT_GRACE, MOST_GRACE, SCOPES

_SIP_ADDRESS = re.compile(r"sips?:([A-Za-z0-9_.!~*'()&=+$,;?/%-]{1,100}@)?[A-Za-z0-9.:\[\]-]{1,150}")

Time = Annotated[float, Field(description="seconds since 1970")]


class _Stored(BaseModel):
    """What the store adds to a document."""

    id: str
    version: Annotated[int, Field(ge=1, description="grows with each change; also the ETag")]
    created_at: Time
    updated_at: Time


class StoredAssistant(Assistant, _Stored):
    """An assistant; secrets are masked."""


class StoredTool(ToolDefinition, _Stored):
    """A tool; secrets are masked."""


class StoredTrunk(Trunk, _Stored):
    """A trunk; secrets are masked."""


class StoredNumber(NumberMapping, _Stored):
    """Who answers a number."""


class StoredContextStrategy(ContextStrategy, _Stored):
    """An inbound context strategy; secrets are masked."""


class PreviewRequest(Document):
    """The variables of a call, as they would be given to it."""

    variables: Annotated[dict[str, Any], Field(max_length=1000)] = Field(default_factory=dict)


class PreviewResult(BaseModel):
    """What the assistant would be told; `missing` are the placeholders without a value."""

    prompt: str
    start_instruction: str
    missing: list[str]


class AttachRequest(Document):
    """Who answers the number from now on."""

    assistant_id: Annotated[str, Field(min_length=1, max_length=100)]


class RecordingSummary(BaseModel):
    """The recording of a call, as far as it is."""

    model_config = ConfigDict(extra="allow")

    id: str
    state: Literal["recording", "stored", "failed"]
    seconds: float | None = None
    bytes: int | None = None
    error: str | None = None


class Call(BaseModel):
    """A call. Fields that are not known yet are null or missing; numbers are E.164 where possible."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: CallStatus
    direction: CallDirection
    created_at: Time
    assistant_id: str | None = None
    assistant_name: str | None = None
    service: str | None = None
    room: str | None = None
    identity: str | None = None
    trunk_id: str | None = None
    inbound_id: str | None = None
    caller_number: str | None = None
    called_number: str | None = None
    variables: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    scheduled_at: Time | None = None
    queued_at: Time | None = None
    dialing_at: Time | None = None
    ringing_at: Time | None = None
    answered_at: Time | None = None
    ended_at: Time | None = None
    end_reason: EndReason | None = None
    billed_seconds: int | None = None
    sip_code: int | None = None
    detail: str | None = None
    usage: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    media: dict[str, Any] | None = None
    recording: RecordingSummary | None = None


class CallAccepted(BaseModel):
    """A call, and how far it is."""

    call_id: str
    status: CallStatus


class TranscriptEntry(BaseModel):
    """Something that was said, or a tool that was used; `seq` counts from the beginning of the call."""

    model_config = ConfigDict(extra="allow")

    seq: int
    role: Literal["user", "assistant", "tool"]
    text: str
    at: Time
    interrupted: bool | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    tool: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None


def _target(text: str) -> str:
    if _SIP_ADDRESS.fullmatch(text):
        return text
    try:
        return normalize_e164(text)
    except ValueError:
        raise ValueError(
            "must be an international number as +14155550123, or an address as sip:desk@example.com"
        ) from None


class TransferRequest(Document):
    """Where the caller is passed on to: an international number, or a SIP address."""

    target: Annotated[str, Field(min_length=3, max_length=256), AfterValidator(_target)]


class DtmfRequest(Document):
    """The keys to press; `w` is half a second of pause."""

    digits: Annotated[str, Field(pattern=r"^[0-9A-Da-d*#wW]{1,64}$")]


class SayRequest(Document):
    """What the agent says next, word by word."""

    text: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
    allow_interruptions: bool = True


class RequestAccepted(BaseModel):
    """Something was asked of a call; its events tell how it went."""

    call_id: str
    request_id: str


class KeyRequest(Document):
    """A new key."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
    scopes: Annotated[
        list[Annotated[str, Field(json_schema_extra={"enum": list(SCOPES)})]],
        Field(min_length=1, max_length=50),
    ]
    expires_at: Annotated[float | None, Field(gt=0, lt=1e11, description="seconds since 1970")] = None


class RotateRequest(Document):
    """How long the old key goes on working."""

    grace_seconds: Annotated[float, Field(ge=0, le=MOST_GRACE)] = DEFAULT_GRACE


class Key(_Stored):
    """An API key, without the key; `prefix` is how it begins."""

    name: str
    prefix: str
    scopes: list[str]
    expires_at: Time | None = None
    last_used_at: Time | None = None
    rotated_from: str | None = None
    rotated_at: Time | None = None


class NewKey(Key):
    """A key that was just made: `key` is shown this once."""

    key: str


class WebhookDelivery(_Stored):
    """A webhook on its way, or at its end. `history` are the last attempts."""

    model_config = ConfigDict(extra="allow")

    event_id: str
    call_id: str
    type: str
    status: Literal["pending", "delivered", "dead"]
    url: str | None = None
    body: str | None = None
    tries: int | None = None
    history: list[dict[str, Any]] | None = None
    reason: str | None = None


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457). `code` is for programs and stable, `detail` for people."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: list[FieldFault] | None = None


class Readiness(BaseModel):
    """Whether calls can be taken, and what is missing if not."""

    status: Literal["ready", "not_ready"]
    missing: list[str]


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """One page of a list; `next_cursor` leads to the next one, and is null on the last."""
    return create_model(
        f"{item.__name__}Page",
        __doc__="One page of a list; `next_cursor` leads to the next one, and is null on the last.",
        items=(list[item], ...),  # type: ignore[valid-type]
        next_cursor=(str | None, ...),
    )
