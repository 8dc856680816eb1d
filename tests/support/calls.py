"""Calls whose far end is scripted: a leg that does what the test says, and models that answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.calls.call_host import CallHost
from antiphon.calls.call_parts import CallOptions
from antiphon.models.chat_context import ToolCall
from antiphon.models.llm import LLM
from antiphon.models.realtime import RealtimeModel
from antiphon.models.registry import register_plugin
from antiphon.models.stt import STT
from antiphon.models.tts import TTS
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.store import Keyring, Store, StoreUnavailable, open_store
from antiphon.telephony import (
    DialRequest,
    IncomingCall,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegMediaReady,
    LegMediaReceived,
    OnLegEvent,
    TransferFailed,
)

from .realtime import ScriptedRealtime
from .scripted import Answer, ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

VENDOR = "rehearsed"
ASSISTANT: dict[str, Any] = {
    "name": "Desk",
    "prompt": "You talk with {{context.name}}.",
    "stt": {"provider": VENDOR},
    "llm": {"provider": VENDOR},
    "tts": {"provider": VENDOR},
    "assistant_start_instruction": "Greet {{context.name}}.",
    "interaction": {"silence": {"enabled": False}},
}
FAST: dict[str, Any] = {
    "lease_seconds": 1.0,
    "renew_seconds": 0.2,
    "poll_seconds": 0.1,
    "patience": 0.2,
    "commit_seconds": 5.0,
    "flush_seconds": 2.0,
    "shutdown_seconds": 5.0,
}


class Rehearsed:
    """A vendor of models that answer by a script."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.llms: list[ScriptedLLM] = []
        self.realtimes: list[ScriptedRealtime] = []
        self.fail: BaseException | None = None

    def says(self, question: str, text: str = "Well.", calls: tuple[ToolCall, ...] = ()) -> None:
        """What the model answers to a question, at once."""
        self.answers[question] = Answer(text, first=0.0, whole=0.0, calls=calls)

    def create_llm(self, model: str, voice: str | None = None) -> LLM:
        if self.fail is not None:
            raise self.fail
        llm = ScriptedLLM(self.answers)
        llm.default = Answer("Hello there.", first=0.0, whole=0.0)
        self.llms.append(llm)
        return llm

    def create_stt(self, model: str, voice: str | None = None) -> STT:
        return ScriptedSTT([])

    def create_tts(self, model: str, voice: str | None = None) -> TTS:
        return ScriptedTTS(first=0.0, length=0.1)

    def create_realtime(
        self, model: str, voice: str | None = None, *, modalities: Sequence[str] = ("audio",)
    ) -> RealtimeModel:
        answer = Answer("Hello there.", first=0.0, whole=0.0)
        made = ScriptedRealtime(answers=answer, speaks="audio" in modalities, length=0.1)
        self.realtimes.append(made)
        return made


@contextmanager
def rehearsed() -> Iterator[Rehearsed]:
    """The vendor is there."""
    vendor = Rehearsed()
    register_plugin(VENDOR, vendor)
    try:
        yield vendor
    finally:
        register_plugin(VENDOR, None)


class ScriptedLeg:
    """A far end. What the call asked of it stands in `asked`; the test says what happens there.

    Attributes:
        slow: seconds that answering, hanging up and transferring take.
        fails: names of methods that fail.
    """

    def __init__(self, rooms: LocalRooms) -> None:
        self.on_event: OnLegEvent | None = None
        self.rooms = rooms
        self.room: Any = None
        self.asked: list[Any] = []
        self.slow = 0.0
        self.fails: set[str] = set()
        self.answers = True
        self.closed = 0

    def tell(self, event: LegEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)

    async def join(self, room: str) -> None:
        self.room = await self.rooms.join(room, "caller", ParticipantKind.SIP)
        self.tell(LegMediaReady())

    def talk(self) -> None:
        """The far end is heard."""
        self.tell(LegMediaReceived())

    def bye(self) -> None:
        """The far end hangs up."""
        self.tell(LegEnded())

    async def _do(self, what: Any, name: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(self.slow)
        if name in self.fails:
            raise RuntimeError(f"{name} broke")

    async def answer(self) -> None:
        await self._do("answer", "answer")
        if self.answers:
            self.tell(LegAnswered())

    async def cancel(self) -> None:
        await self._do("cancel", "cancel")

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        await self._do(("hang_up", sip_code, reason), "hang_up")

    async def transfer(self, target: str) -> None:
        await self._do(("transfer", target), "refuse")
        if "transfer" in self.fails:
            raise TransferFailed("they do not answer")

    async def send_dtmf(self, digits: str) -> None:
        await self._do(("dtmf", digits), "send_dtmf")

    async def aclose(self) -> None:
        self.closed += 1
        if self.room is not None:
            await self.room.disconnect()


class ScriptedDialler:
    """Dials scripted legs; `refuse` makes attempts fail before anything is sent."""

    def __init__(self, rooms: LocalRooms) -> None:
        self.rooms = rooms
        self.requests: list[DialRequest] = []
        self.legs: list[ScriptedLeg] = []
        self.refuse: BaseException | None = None
        self.script: Callable[[ScriptedLeg], None] | None = None

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> ScriptedLeg:
        self.requests.append(request)
        if self.refuse is not None:
            raise self.refuse
        leg = ScriptedLeg(self.rooms)
        leg.on_event = on_event
        await leg.join(request.room)
        self.legs.append(leg)
        if self.script is not None:
            self.script(leg)
        return leg


class Stage:
    """A process that runs calls, on a store of its own or one that is shared.

    Attributes:
        observed: what its observer was told.
        said: what was said in all conversations.
    """

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self.rooms = LocalRooms()
        self.observed: list[tuple[str, str, Any]] = []
        self.said: list[str] = []
        given = {"vad": ScriptedVAD([]), **FAST, **options}
        self.recorders = given.pop("recorders", None)
        self.host = CallHost(
            store,
            self.rooms,
            options=CallOptions(**given),
            recorders=self.recorders,
            observers=[self],
        )
        self.assistant: dict[str, Any] = {}

    def call_started(self, call_id: str, call: Any, session: Any) -> None:
        self.observed.append(("started", call_id, session))
        session.on("conversation_item_added", lambda event: self.said.append(event.item.content))

    def call_ended(self, call_id: str, call: Any) -> None:
        self.observed.append(("ended", call_id, call["status"]))

    async def hire(self, **changes: Any) -> dict[str, Any]:
        """Store the assistant."""
        made = await self.store.create("assistants", {**ASSISTANT, **changes})
        self.assistant = await self.store.get("assistants", made["id"], reveal=True)
        return self.assistant

    def ring(self) -> tuple[ScriptedLeg, IncomingCall]:
        """Somebody calls."""
        leg = ScriptedLeg(self.rooms)

        async def ring() -> None:
            leg.asked.append("ring")

        incoming = IncomingCall(leg, "generic", "+14155550199", "+14155550123", "trunk_1", leg.join, ring)
        return leg, incoming

    async def inbound(self, variables: Any = None, **options: Any) -> tuple[ScriptedLeg, Any]:
        leg, incoming = self.ring()
        variables = {"context": {"name": "Ann"}} if variables is None else variables
        call = await self.host.start_inbound(incoming, {"id": "in_1"}, self.assistant, variables, **options)
        return leg, call

    async def talking(self) -> tuple[ScriptedLeg, Any]:
        """An answered inbound call in which the caller was heard."""
        leg, call = await self.inbound()
        await until(lambda: call.status == "answered")
        leg.talk()
        await until(lambda: call.document.get("media_at") is not None)
        return leg, call

    async def queue(self, **fields: Any) -> dict[str, Any]:
        """A queued outbound call, claimed."""
        await self.store.create(
            "calls",
            {
                "assistant_id": self.assistant["id"],
                "assistant_name": "Desk",
                "direction": "outbound",
                "status": "queued",
                "room": "call-out",
                "trunk_id": None,
                "called_number": "+14155550100",
                "caller_number": "",
                "context": {"name": "Ann"},
                "requests": [],
                "attempts_failed": 0,
                **fields,
            },
        )
        claimed = await self.store.claim("calls", {"status": "queued"}, owner="dispatcher", lease_seconds=5)
        assert claimed is not None
        return claimed

    async def events(self, call_id: str) -> list[str]:
        """The types of the events that wait to be relayed."""
        document = await self.store.get("calls", call_id)
        return [event["type"] for event in document.get("outbox", [])]

    async def transcript(self, call_id: str) -> list[dict[str, Any]]:
        return [entry async for entry in self.store.each("transcripts", {"call_id": call_id})]

    async def aclose(self) -> None:
        await self.host.aclose()
        await self.rooms.aclose()


def sqlite_store(folder: Path) -> Store:
    return open_store(f"sqlite:{folder / 'store.db'}", keyring=Keyring([bytes(range(32))]))


@contextmanager
def outage(stage: Stage, *, after: bool = False) -> Iterator[list[str]]:
    """The store takes no changes meanwhile; with `after` it takes them, and says that it did not.

    Yields what was tried.
    """
    store: Any = stage.store
    tried: list[str] = []
    working = {name: getattr(store, name) for name in ("create", "update", "renew")}

    def broken(name: str) -> Any:
        async def fail(*args: Any, **options: Any) -> Any:
            tried.append(name)
            if after:
                await working[name](*args, **options)
            raise StoreUnavailable("the database does not answer")

        return fail

    for name in working:
        setattr(store, name, broken(name))
    try:
        yield tried
    finally:
        for name, method in working.items():
            setattr(store, name, method)


async def until(true: Callable[[], Any], limit: float = 5.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(limit):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


def silence(seconds: float = 0.02) -> AudioFrame:
    return AudioFrame(np.zeros(round(16000 * seconds), np.int16), 16000)
