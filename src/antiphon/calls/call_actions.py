"""What is done in a call in progress because its agent, or somebody over the API, asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from ..models.errors import AntiphonError
from ..telephony import Leg, TransferFailed
from ..voice import SpeechHandle
from ..voice.task_scope import TaskScope
from .call_parts import CallOptions
from .call_requests import CallRequest, RequestType
from .lifecycle_events import Event, TransferCompleted
from .status import CallStatus

if TYPE_CHECKING:
    from .running_call import RunningCall

logger = logging.getLogger(__name__)


class CallActions:
    """Says, presses keys and transfers; requests one after the other."""

    def __init__(self, call: RunningCall, scope: TaskScope, options: CallOptions) -> None:
        self._call = call
        self._scope = scope
        self._options = options
        self._requests: deque[CallRequest] = deque()
        self._filled = asyncio.Event()
        self._transferring = False
        self._held_back: Event | None = None

    def add(self, request: CallRequest) -> None:
        """Carry a request out after those before it."""
        self._requests.append(request)
        self._filled.set()

    async def serve(self) -> None:
        """Carry out requests for as long as this runs."""
        while True:
            while self._requests:
                await self._serve(self._requests.popleft())
            self._filled.clear()
            await self._filled.wait()

    async def _serve(self, request: CallRequest) -> None:
        call = self._call
        about: dict[str, Any] = {"request_id": request.id, "request": str(request.type)}
        try:
            match request.type:
                case RequestType.SAY:
                    speech = self.say(str(request.args["text"]), request.args.get("allow_interruptions"))
                    # What comes next need not wait, as keys to be pressed meanwhile.
                    self._scope.spawn(self._tell_how_it_was_said(speech, about), name="said")
                    return
                case RequestType.DTMF:
                    await self.send_dtmf(str(request.args["digits"]))
                case RequestType.TRANSFER:
                    await self.transfer(str(request.args["target"]))
        except Exception as error:
            expected = isinstance(error, AntiphonError | TimeoutError)
            reason = str(error) or type(error).__name__
            logger.warning("call %s: %s failed: %s", call.id, request.type, reason, exc_info=not expected)
            self._note("call.request_failed", {**about, "error": reason})
        else:
            self._note("call.request_done", about)

    async def _tell_how_it_was_said(self, speech: SpeechHandle, about: dict[str, Any]) -> None:
        await speech
        self._note("call.request_done", {**about, "outcome": speech.outcome})

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if not self._call.over:
            self._call.record.note(event, asyncio.get_running_loop().time(), about)

    def say(self, text: str, allow_interruptions: bool | None = None) -> SpeechHandle:
        """Have the agent say a text. Raises AntiphonError when it is not in the conversation."""
        session = self._call.session
        if session is None or session.closed or self._call.status is not CallStatus.ANSWERED:
            raise AntiphonError("the agent is not in the conversation")
        speech: SpeechHandle = session.say(text, allow_interruptions=allow_interruptions)
        return speech

    async def send_dtmf(self, digits: str) -> None:
        """Press keys on the leg. Raises AntiphonError when there is none."""
        leg = self._call.leg
        if leg is None or self._call.status is not CallStatus.ANSWERED:
            raise AntiphonError("there is nobody on the line")
        await leg.send_dtmf(digits)

    async def transfer(self, target: str) -> None:
        """Pass the far end on; the call is over when they talk there.

        Raises:
            TransferFailed: they are still here.
        """
        call = self._call
        if call.leg is None or call.status is not CallStatus.ANSWERED or call.over:
            raise TransferFailed("there is nobody on the line")
        if self._transferring:
            raise TransferFailed("another transfer is under way")
        self._transferring = True
        # Whoever asks may be a tool of the conversation, which ends when the caller leaves it; the transfer must not.
        failure = await asyncio.shield(self._scope.spawn(self._transfer(call.leg, target), name="transfer"))
        if failure is not None:
            raise failure

    def hold_back(self, event: Event) -> bool:
        """Whether a caller's leaving waits for the transfer under way, which tells whether it was that."""
        if self._transferring:
            self._held_back = event
        return self._transferring

    async def _transfer(self, leg: Leg, target: str) -> AntiphonError | None:
        """Returns why it failed. A caller who left meanwhile was passed on, or has hung up if it failed."""
        failure: AntiphonError | None = None
        try:
            async with asyncio.timeout(self._options.transfer_seconds):
                await leg.transfer(target)
        except TimeoutError:
            failure = TransferFailed("the transfer was not answered in time")
        except AntiphonError as error:
            failure = error
        except Exception as error:
            logger.exception("call %s: the transfer failed", self._call.id)
            failure = TransferFailed(f"the transfer failed: {type(error).__name__}")
        self._transferring = False
        event, self._held_back = self._held_back, None
        if failure is None:
            event = TransferCompleted(target)
        if event is not None:
            self._call.feed(event)
        return failure
