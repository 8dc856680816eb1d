"""What the call lifecycle asks for.

Whoever runs it carries these out in order. When the store refuses a `Commit`, the effects behind it in the same step are
dropped: what they would do is no longer this owner's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .status import CallStatus, EndReason

FieldValue = str | int | float | None


@dataclass(frozen=True, slots=True)
class Commit:
    """Write one change of the call: status, fields, event and webhook in one atomic write, or nothing.

    The write is refused when the stored status is not `expected`; the machine is then told `Superseded`, if the
    stored status is an end.

    Attributes:
        expected: the status that the store must hold; None: the call must not exist yet.
        status: the status from now on; often the same.
        event: what is appended to the call's events, as `"call.answered"`.
        at: when, in seconds on the clock of `now`.
        fields: what else changes in the call's document; times are on the clock of `now`.
        webhook: the type of the webhook that the change causes, or None.
    """

    expected: CallStatus | None
    status: CallStatus
    event: str
    at: float
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Send 200 OK to the caller; answer with `Answered` once it is acknowledged."""


@dataclass(frozen=True, slots=True)
class CancelInvite:
    """Take our INVITE back. A 200 OK that crosses the CANCEL is acknowledged and ended with BYE by the SIP layer
    (RFC 3261 section 9.1)."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the far end's leg now.

    Attributes:
        sip_code: the final response when an inbound call still rings, or BYE when its 200 OK is on the way; None: BYE,
            or leave the room.
        reason: for the `Reason` header (RFC 3326) and the log.
    """

    sip_code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class AllowSpeech:
    """The agent may be heard from now on."""


@dataclass(frozen=True, slots=True)
class StartRecording:
    pass


@dataclass(frozen=True, slots=True)
class StopRecording:
    pass


@dataclass(frozen=True, slots=True)
class DeliverStartInstruction:
    """The call is answered, audio is heard and the agent is there: let it open the conversation if it speaks first."""


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """End the agent's session and the room."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send `TimerFired(name)` at `at`."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    name: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended; part of the state, and of the fields of the last `Commit`.

    Attributes:
        status: one of `status.TERMINAL`.
        end_reason: None where the status says all.
        ended_at: on the clock of `now`.
        billed_seconds: whole seconds begun since the answer; 0 unless media came and the agent was there.
        sip_code: the final response that ended an attempt.
        detail: more for people.
    """

    status: CallStatus
    end_reason: EndReason | None
    ended_at: float
    billed_seconds: int = 0
    sip_code: int | None = None
    detail: str = ""


Effect = (
    Commit
    | AnswerCall
    | CancelInvite
    | HangUp
    | AllowSpeech
    | StartRecording
    | StopRecording
    | DeliverStartInstruction
    | CloseRoom
    | SetTimer
    | CancelTimer
)
