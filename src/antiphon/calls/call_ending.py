"""The end of one call, carried out by itself: the leg first, then the rest, the record last.

What the pure machine asked for at the end is done in its order; what fails of it does not keep the rest from being done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..rooms.room_host import RoomHost
from ..telephony import Leg, MeasuredLeg
from ..voice import CloseReason
from ..voice.task_scope import TaskScope
from .call_agent import CallAgent
from .call_parts import CallOptions, Recorder
from .call_record import CallRecord
from .lifecycle import CallState
from .lifecycle_effects import CancelInvite, CloseRoom, Commit, Effect, HangUp, StopRecording
from .status import EndReason

logger = logging.getLogger(__name__)

HANG_UP_PATIENCE = 2.0  # seconds that the rest of the end waits for the far end to take the hang-up
RECORDER_TIMEOUT = 15.0
ROOM_TIMEOUT = 10.0
SCOPE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class CallEnding:
    """Ends a call that is over.

    Attributes:
        state: how it ended.
        leg: the far end; a dialling that is still under way may bring it yet.
        scope: the tasks of the call.
        preparing: brings the agent in.
        dialling: sends the attempt.
        recorder: what records it, if something does.
    """

    state: CallState
    record: CallRecord
    agent: CallAgent
    leg: Callable[[], Leg | None]
    rooms: RoomHost
    room: str
    options: CallOptions
    scope: TaskScope
    preparing: asyncio.Task[None] | None
    dialling: asyncio.Task[None] | None
    recorder: Recorder | None

    async def carry_out(self, effects: Sequence[Effect]) -> None:
        """Do what the machine asked for."""
        fields: dict[str, Any] = {}
        for effect in effects:
            if isinstance(effect, Commit):
                await self._finalise(effect, fields)
                continue
            try:
                await self._end_part(effect, fields)
            except Exception:
                logger.exception("call %s: %s failed", self.record.id, type(effect).__name__)

    async def let_go(self) -> None:
        """Free everything, whatever the end did; nothing of this is written."""
        for step, what in (
            (self._close_agent(), "the agent"),
            (self.agent.finish_transcript(), "the transcript"),
            (self.scope.aclose(SCOPE_TIMEOUT), "tasks"),
            (self._close_leg(), "the leg"),
            (self.record.aclose(), "the record"),
        ):
            try:
                async with asyncio.timeout(ROOM_TIMEOUT):
                    await step
            except Exception:
                logger.exception("call %s: ending %s failed", self.record.id, what)

    async def _end_part(self, effect: Effect, fields: dict[str, Any]) -> None:
        match effect:
            case HangUp(sip_code, reason):
                await self._release_leg(sip_code, reason)
            case CancelInvite():
                await self._cancel_invite()
            case StopRecording() if self.recorder is not None:
                async with asyncio.timeout(RECORDER_TIMEOUT):
                    await self.recorder.stop()
                fields["recording"] = self.recorder.info.summary
            case CloseRoom():
                await self._close_agent()
                async with asyncio.timeout(ROOM_TIMEOUT):
                    await self.rooms.close(self.room)

    async def _close_agent(self) -> None:
        if self.preparing is not None and not self.preparing.done():
            self.preparing.cancel()
            await asyncio.wait([self.preparing], timeout=SCOPE_TIMEOUT)
        await self.agent.aclose(self._close_reason)

    async def _release_leg(self, sip_code: int | None, reason: str) -> None:
        if (leg := self.leg()) is not None:
            hanging_up = self.scope.spawn(leg.hang_up(sip_code, reason), name="hang up")
            await asyncio.wait([hanging_up], timeout=HANG_UP_PATIENCE)

    async def _cancel_invite(self) -> None:
        if self.dialling is not None and not self.dialling.done():
            await asyncio.wait([self.dialling], timeout=self.options.leg_seconds)
        if (leg := self.leg()) is not None:
            cancelling = self.scope.spawn(leg.cancel(), name="cancel")
            await asyncio.wait([cancelling], timeout=HANG_UP_PATIENCE)

    async def _finalise(self, commit: Commit, fields: dict[str, Any]) -> None:
        """Write the end, with all that is known by then."""
        await self._close_agent()
        outcome = self.state.outcome
        if outcome is not None:
            talked = 0.0 if self.state.answered_at is None else outcome.ended_at - self.state.answered_at
            fields |= self.agent.record(talked)
        fields |= await self._media_statistics()
        written = self.record.commit(commit, fields)
        try:
            async with asyncio.timeout(self.options.commit_seconds):
                await written
        except TimeoutError:
            logger.error(
                "call %s: its end could not be written within %g s; a supervisor will",
                self.record.id,
                self.options.commit_seconds,
            )

    async def _media_statistics(self) -> dict[str, Any]:
        """What the audio was like, where the leg knows."""
        leg: object = self.leg()
        if not isinstance(leg, MeasuredLeg):
            return {}
        closing = self.scope.spawn(self._close_leg(), name="close leg")
        await asyncio.wait([closing], timeout=ROOM_TIMEOUT)
        return {"media": leg.statistics} if leg.statistics else {}

    async def _close_leg(self) -> None:
        if (leg := self.leg()) is not None:
            await leg.aclose()

    @property
    def _close_reason(self) -> CloseReason:
        """What the session is told; it counts only if it has not closed by itself."""
        outcome = self.state.outcome
        match outcome.end_reason if outcome is not None else None:
            case EndReason.CALLER_HANGUP:
                return CloseReason.PARTICIPANT_LEFT
            case EndReason.ROOM_CLOSED:
                return CloseReason.ROOM_CLOSED
            case EndReason.TRANSFERRED:
                return CloseReason.TRANSFERRED
            case EndReason.MAX_DURATION:
                return CloseReason.MAX_DURATION
            case EndReason.ERROR:
                return CloseReason.ERROR
            case EndReason.SHUTDOWN:
                return CloseReason.SHUTDOWN
            case _:
                return CloseReason.AGENT_HANGUP
