"""Jobs on real local rooms, with scripted models and a clock that jumps."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon import api
from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ConfigurationError
from antiphon.models.tools import function_tool
from antiphon.rooms import DataPacket, ParticipantKind, RoomDisconnected, RoomEvent
from antiphon.rooms.local import LocalRoom, LocalRooms
from antiphon.voice import Agent, AgentSession, ConversationItemAdded
from antiphon.worker import (
    AgentServer,
    JobContext,
    JobDispatcher,
    JobProcess,
    JobRejected,
    JobRequest,
    JobRunner,
    WorkerOptions,
    agents_of,
    get_job_context,
    runner,
)
from antiphon.worker.log_fields import JobLogFields
from support.scripted import Answer, ScriptedLLM
from support.virtual_time import run

Entrypoint = Callable[[JobContext], Awaitable[Any]]


class Caller:
    """A user in a room who types and reads."""

    def __init__(self, room: LocalRoom) -> None:
        self.room = room
        self.received: list[dict[str, Any]] = []
        self.gone = ""
        room.on(RoomEvent.DATA_RECEIVED, self._data)
        room.on(RoomEvent.DISCONNECTED, self._disconnected)

    def _data(self, packet: DataPacket) -> None:
        self.received.append(json.loads(packet.data))

    def _disconnected(self, reason: str) -> None:
        self.gone = reason

    async def type(self, text: str) -> None:
        await self.room.send_text(text, topic="chat")

    @property
    def answers(self) -> list[str]:
        return [m["text"] for m in self.received if m["type"] == "transcript" and m["role"] == "assistant"]


class World:
    """Rooms with a runner."""

    def __init__(self) -> None:
        self.rooms = LocalRooms()
        self.runner = JobRunner(self.rooms)

    async def caller(self, room: str, identity: str = "ann") -> Caller:
        return Caller(await self.rooms.join(room, identity))

    async def aclose(self) -> None:
        await self.runner.aclose()
        await self.rooms.aclose()


def play(scene: Callable[[World], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        world = World()
        try:
            return await scene(world)
        finally:
            await world.aclose()
            left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            assert not left, left

    return run(main())


def talk(llm: ScriptedLLM | None = None, agent: Callable[[], Agent] = Agent) -> Entrypoint:
    """An entrypoint that starts one session and returns."""

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=llm or ScriptedLLM())
        await session.start(agent(), room=ctx.room)

    return entrypoint


def test_a_typed_turn_is_answered_and_the_job_ends_when_the_user_leaves() -> None:
    async def scene(world: World) -> None:
        ann = await world.caller("lobby")
        job = await world.runner.launch(WorkerOptions(talk(), agent_name="desk"), "lobby", metadata="{}")
        await asyncio.sleep(0.1)
        await ann.type("Hello?")
        await asyncio.sleep(1)
        assert ann.answers == ["This is the whole answer to what you said."]
        assert (job.job.room, job.job.agent_name, job.job.metadata) == ("lobby", "desk", "{}")
        agent = next(iter(ann.room.remote_participants.values()))
        assert (agent.kind, agent.name) == (ParticipantKind.AGENT, "desk")
        (session,) = job.sessions
        await ann.room.disconnect()
        await job.wait()
        assert job.reason == "all sessions closed"
        assert session.closed
        assert world.runner.jobs == []

    play(scene)


async def nothing(ctx: JobContext) -> None: ...


async def forever(ctx: JobContext) -> None:
    await asyncio.Event().wait()


async def fails(ctx: JobContext) -> None:
    raise ZeroDivisionError("private detail")


async def misconfigured(ctx: JobContext) -> None:
    raise ConfigurationError("DEEPGRAM_API_KEY is not set")


async def shuts_down(ctx: JobContext) -> None:
    ctx.shutdown("done here")
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("entrypoint", "user_comes", "reason", "after"),
    [
        (nothing, False, "nobody joined", 60.0),
        (forever, False, "nobody joined", 60.0),
        (fails, True, "entrypoint failed", 0.0),
        (misconfigured, True, "entrypoint failed", 0.0),
        (shuts_down, True, "done here", 0.0),
    ],
)
def test_a_job_ends(entrypoint: Entrypoint, user_comes: bool, reason: str, after: float) -> None:
    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        if user_comes:
            await world.caller("lobby")
        started = loop.time()
        job = await world.runner.launch(WorkerOptions(entrypoint), "lobby")
        await job.wait()
        assert job.reason == reason
        assert loop.time() - started == pytest.approx(after, abs=0.1)

    play(scene)


def test_a_job_without_sessions_waits_for_users_to_come_back() -> None:
    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        ann = await world.caller("lobby")
        job = await world.runner.launch(WorkerOptions(forever, departure_timeout=20), "lobby")
        await ann.room.disconnect()
        await asyncio.sleep(15)
        again = await world.caller("lobby")
        await asyncio.sleep(30)
        assert not job.reason
        left = loop.time()
        await again.room.disconnect()
        await job.wait()
        assert job.reason == "everybody left"
        assert loop.time() - left == pytest.approx(20, abs=0.1)

    play(scene)


def test_a_failing_entrypoint_is_told_without_its_internals(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        for room, entrypoint in (("one", fails), ("two", misconfigured)):
            caller = await world.caller(room)
            job = await world.runner.launch(WorkerOptions(entrypoint), room)
            await job.wait()
            await asyncio.sleep(0)
            (error,) = [m for m in caller.received if m["type"] == "error"]
            if room == "one":
                assert "private detail" not in error["message"]
            else:
                assert error["message"] == "DEEPGRAM_API_KEY is not set"

    play(scene)
    assert "ZeroDivisionError" in caplog.text
    assert caplog.text.count("Traceback") == 1


def test_the_end_has_an_order_and_each_step_a_deadline() -> None:
    happened: list[str] = []

    class Farewell(Agent):
        async def on_exit(self) -> None:
            happened.append("session closed")

    async def entrypoint(ctx: JobContext) -> None:
        ctx.room.on(RoomEvent.DISCONNECTED, lambda _reason: happened.append("room left"))
        ctx.add_shutdown_callback(lambda: happened.append("callback"))
        ctx.add_shutdown_callback(callback)
        ctx.add_shutdown_callback(raises)
        ctx.add_shutdown_callback(hangs)
        session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
        await session.start(Farewell(), room=ctx.room)
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("entrypoint cancelled")

    async def callback(reason: str) -> None:
        happened.append(f"callback: {reason}")

    def raises() -> None:
        happened.append("raises")
        raise ValueError

    async def hangs() -> None:
        happened.append("hangs")
        await asyncio.Event().wait()

    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        await world.caller("lobby")
        job = await world.runner.launch(WorkerOptions(entrypoint, shutdown_timeout=3), "lobby")
        await job.wait_begun()
        await asyncio.sleep(0.1)
        started = loop.time()
        job.end("enough")
        job.end("too late")
        await job.wait()
        assert loop.time() - started == pytest.approx(3, abs=0.2)

    play(scene)
    assert happened == [
        "entrypoint cancelled",
        "session closed",
        "callback",
        "callback: enough",
        "raises",
        "hangs",
        "room left",
    ]


def test_an_entrypoint_that_ignores_cancellation_holds_up_nothing() -> None:
    async def stubborn(ctx: JobContext) -> None:
        for _ in range(8):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        await world.caller("lobby")
        job = await world.runner.launch(WorkerOptions(stubborn, shutdown_timeout=2), "lobby")
        await asyncio.sleep(0.5)
        started = loop.time()
        job.end("enough")
        await job.wait()
        assert loop.time() - started == pytest.approx(2, abs=0.1)
        await asyncio.sleep(20)

    play(scene)


def test_sessions_may_follow_each_other() -> None:
    async def entrypoint(ctx: JobContext) -> None:
        for _ in range(2):
            session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
            await session.start(Agent(), room=ctx.room)
            await asyncio.sleep(1)
            await session.aclose()
            await asyncio.sleep(2)
        await asyncio.sleep(1000)

    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        await world.caller("lobby")
        started = loop.time()
        job = await world.runner.launch(WorkerOptions(entrypoint), "lobby")
        await asyncio.sleep(6)
        assert len(job.sessions) == 2
        await job.wait()
        assert job.reason == "all sessions closed"
        assert 8.5 < loop.time() - started < 10  # the second closes at 4 s; then the gap

    play(scene)


def test_deleting_the_room_from_a_tool_ends_the_job() -> None:
    class Hangs(Agent):
        @function_tool
        async def hang_up(self) -> str:
            """End the call."""
            job = get_job_context()
            await job.api.room.delete_room(api.DeleteRoomRequest(room=job.room.name))
            return "Call ended"

    llm = ScriptedLLM({"Bye": Answer("", calls=[ToolCall("1", "hang_up")])})

    async def scene(world: World) -> None:
        ann = await world.caller("lobby")
        job = await world.runner.launch(WorkerOptions(talk(llm, Hangs)), "lobby")
        await asyncio.sleep(0.1)
        await ann.type("Bye")
        await job.wait()
        assert ann.gone == "room deleted"
        assert job.reason.startswith(("room closed", "all sessions"))
        assert world.rooms.get("lobby") is None

    play(scene)


def test_each_tool_hook_and_listener_sees_its_own_job() -> None:
    seen: dict[str, set[str]] = {}

    class Curious(Agent):
        @function_tool
        async def look(self) -> str:
            """Look."""
            note("tool", self)
            return "ok"

        async def on_enter(self) -> None:
            note("on_enter", self)

        async def on_exit(self) -> None:
            note("on_exit", self)

    def note(where: str, agent: Agent) -> None:
        assert agent.session.userdata == get_job_context().job.id
        seen.setdefault(where, set()).add(get_job_context().job.id)

    async def entrypoint(ctx: JobContext) -> None:
        llm = ScriptedLLM({"Look": Answer("", calls=[ToolCall("1", "look")])})
        session: AgentSession[str] = AgentSession(llm=llm, userdata=ctx.job.id)
        agent = Curious()

        @session.on("conversation_item_added")
        def added(_event: ConversationItemAdded) -> None:
            note("listener", agent)

        await session.start(agent, room=ctx.room)

    async def scene(world: World) -> None:
        callers = [await world.caller(f"room {i}") for i in range(3)]
        jobs = [await world.runner.launch(WorkerOptions(entrypoint), f"room {i}") for i in range(3)]
        await asyncio.sleep(0.1)
        for caller in callers:
            await caller.type("Look")
        await asyncio.sleep(2)
        for caller in callers:
            await caller.room.disconnect()
        for job in jobs:
            await job.wait()
        assert seen == {w: {j.job.id for j in jobs} for w in ("tool", "on_enter", "on_exit", "listener")}

    play(scene)


def test_a_failing_job_harms_no_other() -> None:
    async def scene(world: World) -> None:
        ann = await world.caller("good")
        await world.caller("bad", "bob")
        good = await world.runner.launch(WorkerOptions(talk()), "good")
        bad = await world.runner.launch(WorkerOptions(fails), "bad")
        await bad.wait()
        await ann.type("Hello?")
        await asyncio.sleep(1)
        assert ann.answers
        assert not good.reason

    play(scene)


def test_get_job_context_outside_of_a_job() -> None:
    assert get_job_context(required=False) is None
    with pytest.raises(RuntimeError, match="no job"):
        get_job_context()


def test_waiting_for_a_participant() -> None:
    async def scene(world: World) -> None:
        found: list[str] = []

        async def entrypoint(ctx: JobContext) -> None:
            await ctx.connect()
            found.append((await ctx.wait_for_participant()).identity)
            found.append((await ctx.wait_for_participant(identity="bob")).identity)
            found.append((await ctx.wait_for_participant(kind=ParticipantKind.SIP)).identity)
            waiting.append(asyncio.create_task(ctx.wait_for_participant(identity="nobody")))

        waiting: list[asyncio.Task[Any]] = []
        await world.runner.launch(WorkerOptions(entrypoint), "lobby")
        await asyncio.sleep(1)
        await world.caller("lobby", "ann")
        await world.caller("lobby", "bob")
        await world.rooms.join("lobby", "phone", ParticipantKind.SIP)
        await asyncio.sleep(0.1)
        await world.rooms.close("lobby")
        await asyncio.sleep(0.1)
        assert found == ["ann", "bob", "phone"]
        with pytest.raises(RoomDisconnected, match="room deleted"):
            await waiting[0]

    play(scene)


def test_prewarming_happens_once_and_its_failure_is_not_kept() -> None:
    calls: list[JobProcess] = []

    def prewarm(proc: JobProcess) -> None:
        calls.append(proc)
        if len(calls) == 1:
            raise ConfigurationError("not yet")
        proc.userdata["model"] = "loaded"

    async def entrypoint(ctx: JobContext) -> None:
        assert ctx.proc.userdata["model"] == "loaded"

    async def scene() -> None:
        world = World()
        options = WorkerOptions(entrypoint, prewarm_fnc=prewarm)
        with pytest.raises(ConfigurationError, match="not yet"):
            await world.runner.launch(options, "lobby")
        jobs = [await world.runner.launch(options, f"room {i}") for i in range(3)]
        await asyncio.sleep(0.05)
        assert [job.error for job in jobs] == [None] * 3
        assert len(calls) == 2
        await world.aclose()

    asyncio.run(scene())  # threads and a clock that jumps do not mix


def test_the_turn_detector_is_loaded_before_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    async def load() -> None:
        loaded.append("turn detector")

    async def prewarm(proc: JobProcess) -> None:
        loaded.append("models")

    async def scene(world: World) -> None:
        options = WorkerOptions(forever, prewarm_fnc=prewarm)
        for room in ("lobby", "bar"):
            await world.runner.launch(options, room)

    monkeypatch.setattr(runner, "prewarm_turn_detector", load)
    play(scene)
    assert sorted(loaded) == ["models", "turn detector"]


def test_a_job_may_be_refused_or_taken_under_a_name() -> None:
    async def request(req: JobRequest) -> None:
        if req.job.room == "no":
            await req.reject()
        elif req.job.room == "yes":
            await req.accept(name="Ada", identity="ada", metadata="m")

    async def scene(world: World) -> None:
        options = WorkerOptions(forever, request_fnc=request)
        for room in ("no", "undecided"):
            with pytest.raises(JobRejected):
                await world.runner.launch(options, room)
            assert world.rooms.get(room) is None
        job = await world.runner.launch(options, "yes")
        agent = job.context.agent
        assert (agent.identity, agent.name, agent.metadata) == ("ada", "Ada", "m")

    play(scene)


def test_agents_are_dispatched_by_name() -> None:
    server = AgentServer()

    @server.rtc_session(agent_name="desk")
    async def desk(ctx: JobContext) -> None:
        if ctx.job.metadata == "send another":
            await ctx.api.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(agent_name="desk", room="other", metadata="hi")
            )
        await talk()(ctx)

    @server.rtc_session
    async def plain(ctx: JobContext) -> None: ...

    @server.rtc_session(agent_name="broken")
    async def broken(ctx: JobContext) -> None:
        raise ConfigurationError("no key")

    with pytest.raises(ConfigurationError, match="already"):
        server.rtc_session(agent_name="desk")(plain)

    async def scene(world: World) -> None:
        dispatcher = JobDispatcher(world.rooms, agents_of(server))
        try:
            job = await dispatcher.start("desk", "lobby", "send another")
            assert job.sessions
            (other,) = await job.context.api.agent_dispatch.list_dispatch("other")
            assert (other.agent_name, other.room, other.metadata) == ("desk", "other", "hi")
            assert (await dispatcher.start("", "third")).entrypoint_returned
            with pytest.raises(api.ApiError, match="desk") as caught:
                await dispatcher.start("unknown", "lobby")
            assert caught.value.code == "not_found"
            with pytest.raises(ConfigurationError, match="no key"):
                await dispatcher.start("broken", "lobby")
        finally:
            await dispatcher.aclose()

    play(scene)


def test_a_server_without_agents_says_so() -> None:
    with pytest.raises(ConfigurationError, match="rtc_session"):
        agents_of(AgentServer())


def test_the_runner_ends_all_jobs_side_by_side() -> None:
    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()

        async def slow(ctx: JobContext) -> None:
            ctx.add_shutdown_callback(pause)
            await asyncio.Event().wait()

        async def pause() -> None:
            await asyncio.sleep(1)

        jobs = [await world.runner.launch(WorkerOptions(slow), f"room {i}") for i in range(5)]
        await asyncio.sleep(0.1)
        started = loop.time()
        await world.runner.aclose()
        assert loop.time() - started == pytest.approx(1, abs=0.1)
        assert {job.reason for job in jobs} == {"server shutting down"}

    play(scene)


def test_an_ended_job_keeps_no_session_alive() -> None:
    alive: list[weakref.ref[Any]] = []

    async def scene(world: World) -> None:
        for i in range(20):
            caller = await world.caller(f"room {i}")
            job = await world.runner.launch(WorkerOptions(talk()), f"room {i}")
            await asyncio.sleep(0.1)
            alive.append(weakref.ref(job.sessions[0]))
            await caller.type("Hello?")
            await asyncio.sleep(1)
            await caller.room.disconnect()
            await job.wait()
        del job
        gc.collect()
        assert [ref for ref in alive if ref() is not None] == []

    play(scene)


def test_log_records_name_their_job() -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    handler.addFilter(JobLogFields())
    logger = logging.getLogger("test job fields")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    async def entrypoint(ctx: JobContext) -> None:
        ctx.log_context_fields = {"room": ctx.room.name}
        logger.info("hello %s", "there")

    async def scene(world: World) -> str:
        job = await world.runner.launch(WorkerOptions(entrypoint), "lobby")
        await job.wait_begun()
        return job.job.id

    name = play(scene)
    logger.info("outside")
    assert [(r.getMessage(), getattr(r, "fields", {})) for r in records] == [
        ("hello there", {"job": name, "room": "lobby"}),
        ("outside", {}),
    ]
