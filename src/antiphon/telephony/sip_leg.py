"""A SIP call as the leg of a call."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from ..models.errors import AntiphonError, ConfigurationError
from ..rtp.dtmf import KEYS
from ..rtp.engine_messages import Event as MediaEvent
from ..rtp.engine_messages import Failed, FirstPacket, Key, Silent
from ..rtp.media_process import MediaCall
from ..sip import events as sip
from ..sip.errors import CallStateError, SipError
from ..sip.events import EndCause
from ..sip.offer_answer import LocalMedia, NegotiatedMedia
from ..sip.transport.endpoint import SipEndpoint
from ..sip.uri import address_uri
from .bridge import Bridge
from .leg import (
    LegAnswered,
    LegEnded,
    LegEvent,
    LegFailed,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    LegRtpTimedOut,
    OnLegEvent,
    TransferFailed,
)
from .providers import Provider
from .sip_trunk import SipTrunk

logger = logging.getLogger(__name__)

RETRY_AFTER = "5"
RTP_TIMEOUT = 30.0
HANG_UP_DEADLINE = 5.0
TRANSFER_DEADLINE = 40.0
_PAUSE = 0.5  # a `w` among keys that go by INFO
_KEY_SECONDS = 0.16
_REASONS = {  # RFC 3326 with the causes of Q.850
    "agent_hangup": 16,
    "max_duration": 16,
    "silence_timeout": 16,
    "transferred": 16,
    "rtp_timeout": 27,
    "no_rtp_after_answer": 27,
    "room_closed": 41,
    "shutdown": 41,
    "error": 41,
}


class SipLeg:
    """One SIP call, from its first message to its last.

    Attributes:
        statistics: what its audio was like, once it is over.
        offers_early: the caller left the offer to us and takes it with the ringing (RFC 3262 section 5).
    """

    def __init__(
        self,
        endpoint: SipEndpoint,
        media: MediaCall,
        bridge: Bridge,
        local: LocalMedia,
        trunk: SipTrunk | None,
        provider: Provider,
        *,
        inbound: bool,
    ) -> None:
        """Prepare; `handle` is set when the SIP call is known."""
        self.on_event: OnLegEvent | None = None
        self.handle = 0
        self.offers_early = False
        self.statistics: dict[str, Any] = {}
        self._endpoint = endpoint
        self._media = media
        self._bridge = bridge
        self._local = local
        self._trunk = trunk
        self._provider = provider
        self._inbound = inbound
        self._answered = False
        self._media_ready_told = False
        self._media_came = False
        self._timed_out = False
        self._over = asyncio.Event()
        self._transferring: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        # Of the call that it belongs to: what is logged of the leg says which call that is, whatever woke the leg.
        self._context = contextvars.copy_context()
        media.told = not inbound  # our INVITE offers it
        media.on_event = self._media_event

    @property
    def over(self) -> bool:
        return self._over.is_set()

    @property
    def trunk_id(self) -> str:
        """Empty: a call without a trunk."""
        return "" if self._trunk is None else self._trunk.id

    async def join(self, room: str, number: str, attributes: Mapping[str, str]) -> None:
        """Join the room of the call; what is logged from now on carries the fields of whoever asks."""
        self._context = contextvars.copy_context()
        await self._bridge.join(room, number, attributes)
        self._tell_when_media_is_ready()

    async def ring(self) -> None:
        """Tell a caller that it rings."""
        if self.over:
            return
        try:
            self._media.told = self._media.told or self.offers_early
            self._endpoint.ring(self.handle, media=self._local if self.offers_early else None)
        except CallStateError:
            return  # the caller was faster

    # -- the leg -------------------------------------------------------------------------------------------------------

    async def answer(self) -> None:
        if self.over:
            return
        self._media.told = True
        try:
            self._endpoint.answer(self.handle, self._local)
        except CallStateError as error:
            logger.info("call %d could not be answered: %s", self.handle, error)

    async def cancel(self) -> None:
        await self._leave(480, "")

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        cause = _REASONS.get(reason, 16)
        await self._leave(sip_code or 480, f'Q.850;cause={cause};text="{reason}"')

    async def transfer(self, target: str) -> None:
        if self.over or not self._answered:
            raise TransferFailed("the call is not on, so it cannot be transferred")
        if self._trunk is None and not target.startswith(("sip:", "sips:")):
            raise TransferFailed("a call without a trunk can only be transferred to a SIP address")
        self._transferring = asyncio.get_running_loop().create_future()
        try:
            uri = address_uri(target) if self._trunk is None else self._provider.target(self._trunk, target)
            self._endpoint.transfer(self.handle, uri)
            async with asyncio.timeout(TRANSFER_DEADLINE):
                await self._transferring
        except TimeoutError:
            raise TransferFailed(f"the transfer was not answered within {TRANSFER_DEADLINE:g} s") from None
        except SipError as error:
            raise TransferFailed(str(error)) from error
        except AntiphonError as error:
            if isinstance(error, TransferFailed):
                raise
            raise TransferFailed(f"{target!r} {error}") from error
        finally:
            self._transferring = None

    async def send_dtmf(self, digits: str) -> None:
        unknown = set(digits) - set(KEYS) - {"w"}
        if unknown:
            raise ValueError(f"{min(unknown)!r} is not a telephone key: 0-9, *, #, A-D, or w for a pause")
        if self.over or not self._answered:
            return
        media = self._bridge.agreed
        if media is not None and media.dtmf_send_type is not None:
            self._media.press(digits)
            return
        for digit in digits:
            if digit == "w":
                await asyncio.sleep(_PAUSE)
                continue
            try:
                self._endpoint.send_digit(self.handle, digit, duration=_KEY_SECONDS)
            except CallStateError:
                return  # the call ended meanwhile
            await asyncio.sleep(2 * _KEY_SECONDS)

    async def aclose(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(), name="close a SIP leg", context=self._context.copy()
            )
        await asyncio.shield(self._closing)

    async def _leave(self, code: int, reason: str) -> None:
        if not self.over and self.handle:
            headers = {"Retry-After": RETRY_AFTER} if code == 503 else None  # RFC 3261 section 21.5.4
            self._endpoint.hang_up(self.handle, code=code, reason=reason, headers=headers)
        # Our BYE is on its way; what is left is to give the ports back.
        await self.aclose()

    async def _close(self) -> None:
        if not self.over and self.handle:
            self._endpoint.hang_up(self.handle, code=480)
            self._over.set()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.statistics = await self._bridge.aclose()
        if self.statistics:
            logger.info("audio of call %d: %s", self.handle, self.statistics)

    # -- what happens --------------------------------------------------------------------------------------------------

    def sip_event(self, event: sip.SipEvent) -> None:
        """Take what the user agent reports of this call."""
        self._context.copy().run(self._take, event)

    def _take(self, event: sip.SipEvent) -> None:
        match event:
            case sip.Progress(_, code, _):
                self._tell(LegProgress(code))
            case sip.MediaChanged(_, media):
                self._agree(media)
            case sip.Answered():
                self._answer_came()
            case sip.Rejected():
                self._end(LegRejected(event.code, event.phrase, event.credentials_refused))
            case sip.Ended(_, cause, detail):
                self._ended(cause, detail)
            case sip.DigitReceived(_, digit):
                self._spawn(self._bridge.pressed(digit, "info"))
            case sip.TransferSucceeded():
                self._settle_transfer(None)
            case sip.TransferRejected(_, code, phrase):
                self._settle_transfer(TransferFailed(f"the transfer was refused: {code} {phrase}"))
            case _:
                return

    def _agree(self, media: NegotiatedMedia) -> None:
        try:
            changed = self._bridge.agree(media)
        except ConfigurationError as error:
            self._fail(str(error))
            return
        if changed and self._answered:
            self._spawn(self._bridge.announce("call_hold" if self._bridge.on_hold else "call_resume"))
        self._tell_when_media_is_ready()

    def _answer_came(self) -> None:
        if self._answered:
            return
        self._answered = True
        self._bridge.answered()
        self._spawn(self._bridge.announce("call_answered"))
        if self._bridge.on_hold:
            self._spawn(self._bridge.announce("call_hold"))
        self._tell(LegAnswered())
        self._tell_when_media_is_ready()

    def _tell_when_media_is_ready(self) -> None:
        if self._answered and self._bridge.ready and not self._media_ready_told:
            self._media_ready_told = True
            self._tell(LegMediaReady())

    def _ended(self, cause: EndCause, detail: str) -> None:
        if self._transferring is not None and cause is EndCause.TRANSFERRED:
            self._settle_transfer(None)
        match cause:
            case EndCause.LOCAL:
                self._over.set()
            case EndCause.MEDIA_REFUSED:
                self._end(LegFailed(detail or "the caller and we have no codec in common", 488))
            case EndCause.FAILED | EndCause.PEER_LOST | EndCause.SESSION_EXPIRED | EndCause.NOT_ACKNOWLEDGED:
                self._end(LegFailed(detail or str(cause)))
            case _:
                self._end(LegEnded(detail))

    def _media_event(self, event: MediaEvent | None) -> None:
        self._context.copy().run(self._take_media, event)

    def _take_media(self, event: MediaEvent | None) -> None:
        match event:
            case None:
                self._fail("the media engine died")
            case Failed(_, error):
                self._fail(error)
            case Key(_, key):
                self._spawn(self._bridge.pressed(key, "rtp"))
            case FirstPacket() if self._answered and not self._media_came:
                self._media_came = True
                self._tell(LegMediaReceived())
            case Silent(_, seconds):
                late = seconds >= RTP_TIMEOUT and self._media_came and self._answered
                if late and self._bridge.expects_audio and not self._timed_out:
                    self._timed_out = True
                    self._tell(LegRtpTimedOut())

    def _fail(self, detail: str) -> None:
        """It cannot go on by our fault: the far end is told, and so is the call."""
        if not self.over:
            # Told first: hanging up reports an end of our own wish.
            self._end(LegFailed(detail))
            self._endpoint.hang_up(self.handle, code=500, reason='Q.850;cause=41;text="error"')

    def _end(self, event: LegEvent) -> None:
        if self.over:
            return
        self._over.set()
        self._settle_transfer(TransferFailed("the call ended"))
        self._tell(event)

    def _settle_transfer(self, failure: TransferFailed | None) -> None:
        future = self._transferring
        if future is None or future.done():
            return
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)

    def _tell(self, event: LegEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
