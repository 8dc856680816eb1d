"""What developers build on: hooks, nodes, hand-over, queued speech, hold, turn detection modes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.chat_context import ChatContext, ChatMessage, ToolCall
from antiphon.models.errors import ConfigurationError, StopResponse
from antiphon.models.tools import RunContext, function_tool
from antiphon.models.tts import SynthesizedAudio
from antiphon.voice import Agent, AgentSession, CloseReason, SpeechHandle
from support.scripted import (
    Answer,
    Recording,
    ScriptedLLM,
    ScriptedTTS,
    ScriptedVAD,
    Speech,
    converse,
)
from support.virtual_time import run

QUESTION = "What time is it?"
REPLY = "This is the whole answer to what you said."
TURN = Speech(0.5, 2.5, QUESTION, 2.7)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.02)


def texts(record: Recording) -> list[str]:
    return [text for _, text in record.log()]


# -- agents ------------------------------------------------------------------------------------------------------------


def test_the_agent_greets_on_enter_and_hears_of_its_exit() -> None:
    class Greeter(Agent):
        exits = 0

        async def on_enter(self) -> None:
            await self.session.say("Good morning!")

        async def on_exit(self) -> None:
            self.exits += 1

    agent = Greeter(instructions="")
    record = run(converse([], until=5, agent=agent))
    assert record.log() == [("assistant", "Good morning!")]
    assert record.playouts == [[near(0.2), near(3.2)]]
    assert agent.exits == 1


def test_generate_reply_gives_its_instructions_to_the_model_only() -> None:
    llm = ScriptedLLM()
    record = run(
        converse(
            [], until=6, llm=llm, script=[(0.1, lambda s: s.generate_reply(instructions="Greet warmly."))]
        )
    )
    _, messages, _ = llm.requests[0]
    assert [(m.role, m.content) for m in messages] == [("system", "Be brief."), ("system", "Greet warmly.")]
    assert record.log() == [("assistant", REPLY)]


def test_generate_reply_without_a_model_says_what_to_do() -> None:
    async def play() -> None:
        session: AgentSession[None] = AgentSession()
        await session.start(Agent())
        with pytest.raises(ConfigurationError, match="llm"):
            session.generate_reply()
        await session.aclose()

    run(play())


def test_a_tool_that_returns_an_agent_hands_over() -> None:
    class Second(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="Be second.")

    class First(Agent):
        @function_tool
        async def transfer(self) -> tuple[Agent, str]:
            """Hand over."""
            return Second(), "Transferred."

    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "transfer")])})
    record = run(converse([TURN], until=10, llm=llm, agent=First(instructions="Be first.")))
    assert record.session is not None
    assert isinstance(record.session.current_agent, Second)
    assert [messages[0].content for _, messages, _ in llm.requests] == ["Be first.", "Be second."]
    assert record.log()[-1] == ("assistant", REPLY)


def test_an_agent_that_speaks_on_enter_answers_instead() -> None:
    class Second(Agent):
        async def on_enter(self) -> None:
            self.session.say("Second here.")

    class First(Agent):
        @function_tool
        async def transfer(self) -> Agent:
            """Hand over."""
            return Second(instructions="")

    llm = ScriptedLLM({QUESTION: Answer("One moment.", calls=[ToolCall("call_1", "transfer")])})
    record = run(converse([TURN], until=12, llm=llm, agent=First(instructions="")))
    assert [text for role, text in record.log() if role == "assistant"] == [
        "One moment.",
        "call:transfer",
        "Second here.",
    ]
    assert len(llm.requests) == 1


def test_a_turn_that_ends_during_a_hand_over_is_answered() -> None:
    class Second(Agent):
        async def on_enter(self) -> None: ...

    class Slow(Agent):
        async def on_exit(self) -> None:
            await asyncio.sleep(2.0)

    second = Second(instructions="Be second.")
    record = run(
        converse(
            [TURN], until=9, agent=Slow(instructions=""), script=[(2.0, lambda s: s.update_agent(second))]
        )
    )
    assert record.commits == [near(3.0)]
    assert record.log()[-1] == ("assistant", REPLY)


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_slow_hooks_are_serialised_and_only_the_last_reply_speaks() -> None:
    calls: list[tuple[str, float]] = []

    class Slow(Agent):
        async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
            loop = asyncio.get_running_loop()
            calls.append((f"start {new_message.content}", loop.time()))
            await asyncio.sleep(2.0)
            calls.append((f"end {new_message.content}", loop.time()))

    second = Speech(3.5, 4.0, "And the date?", 4.1)
    record = run(converse([TURN, second], until=12, agent=Slow(instructions="")))
    assert [what for what, _ in calls] == [
        f"start {QUESTION}",
        f"end {QUESTION}",
        "start And the date?",
        "end And the date?",
    ]
    assert [when for _, when in calls] == [near(3.0), near(5.0), near(5.0), near(7.0)]
    assert record.log() == [("user", QUESTION), ("user", "And the date?"), ("assistant", REPLY)]


def test_the_hook_can_decline_and_can_change_what_the_model_sees() -> None:
    class Picky(Agent):
        async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
            if new_message.content == QUESTION:
                raise StopResponse
            turn_ctx.add_message(role="system", content="It is May.")

    llm = ScriptedLLM()
    second = Speech(5.0, 6.0, "And the date?", 6.1)
    record = run(converse([TURN, second], until=12, llm=llm, agent=Picky(instructions="")))
    assert record.log() == [("user", QUESTION), ("user", "And the date?"), ("assistant", REPLY)]
    assert llm.requests[-1][1][-1].content == "It is May."
    assert "It is May." not in texts(record)


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_nodes_can_be_wrapped() -> None:
    class Wrapped(Agent):
        async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
            yield "Well. "
            async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
                yield chunk

        async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[Any]:
            async def shouted() -> AsyncIterator[str]:
                async for piece in text:
                    yield piece.upper()

            async for audio in Agent.default.tts_node(self, shouted(), model_settings):
                yield audio

        async def transcription_node(
            self, text: AsyncIterable[str], model_settings: Any
        ) -> AsyncIterator[str]:
            async for piece in text:
                yield piece.replace("whole", "full")

        async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterator[Any]:
            async for event in Agent.default.stt_node(self, audio, model_settings):
                yield event

    record = run(converse([TURN], until=12, agent=Wrapped(instructions="")))
    assert record.tts is not None
    assert " ".join(text for _, text in record.tts.texts) == f"WELL. {REPLY.upper()}"
    assert record.log()[1] == ("assistant", f"Well. {REPLY.replace('whole', 'full')}")


def test_an_llm_node_may_return_a_text_and_a_tts_node_bare_frames() -> None:
    class Plain(Agent):
        async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> str:  # type: ignore[override]
            return "Always the same."

        async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[AudioFrame]:
            async for _ in text:
                yield AudioFrame(np.full(8000, 100, np.int16), 8000)

    record = run(converse([TURN], until=9, agent=Plain(instructions="")))
    assert record.log()[1] == ("assistant", "Always the same.")
    assert record.playouts[0][1] - record.playouts[0][0] == near(1.0)


def test_word_timings_of_another_form_are_passed_over() -> None:
    class Timed(Agent):
        async def tts_node(
            self, text: AsyncIterable[str], model_settings: Any
        ) -> AsyncIterator[SynthesizedAudio]:
            words: Any = {"Always": [0.0, 0.2]}
            async for piece in text:
                yield SynthesizedAudio(AudioFrame(np.full(800, 100, np.int16), 8000), piece, words)

    record = run(converse([TURN], until=9, agent=Timed(instructions="")))
    assert record.log()[1] == ("assistant", REPLY)
    assert record.all("error") == []


# -- queued speech -----------------------------------------------------------------------------------------------------


def test_an_interruption_drops_what_is_queued_except_what_must_be_heard() -> None:
    handles: list[SpeechHandle] = []

    def queue(session: AgentSession[Any]) -> None:
        handles.append(session.say("One."))
        handles.append(session.say("Two."))
        handles.append(session.say("Three.", allow_interruptions=False))

    barge_in = Speech(1.5, 2.5, "Stop.", 2.6)
    record = run(converse([barge_in], until=12, script=[(0.1, queue)], can_pause=False))
    assert [handle.outcome for handle in handles] == ["interrupted", "interrupted", "finished"]
    assert record.log() == [("user", "Stop."), ("assistant", "Three."), ("assistant", REPLY)]


def test_queued_speech_plays_in_order() -> None:
    def queue(session: AgentSession[Any]) -> None:
        for text in ("One.", "Two.", "Three."):
            session.say(text)

    record = run(converse([], until=12, script=[(0.1, queue)]))
    assert texts(record) == ["One.", "Two.", "Three."]


def test_a_handle_can_be_awaited_and_interrupted() -> None:
    async def interrupt(session: AgentSession[Any]) -> None:
        handle = session.say("This will not be heard to its end.")
        await asyncio.sleep(1.0)
        assert session.current_speech is handle
        handle.interrupt()
        await handle
        assert handle.interrupted
        protected = session.say("This will be heard.", allow_interruptions=False)
        with pytest.raises(RuntimeError, match="force"):
            protected.interrupt()
        assert (await protected).outcome == "finished"

    record = run(converse([], until=9, script=[(0.1, interrupt)]))
    assert [item.interrupted for item in record.history] == [True, False]


def test_a_tool_may_wait_for_what_was_said_before_it() -> None:
    at: list[float] = []

    class Waiting(Agent):
        @function_tool
        async def transfer(self, ctx: RunContext) -> str:
            """Wait for the announcement."""
            await ctx.wait_for_playout()
            at.append(asyncio.get_running_loop().time())
            return "done"

    llm = ScriptedLLM({QUESTION: Answer("Transferring you now.", calls=[ToolCall("call_1", "transfer")])})
    run(converse([TURN], until=12, llm=llm, agent=Waiting(instructions=""), preemptive_tts=False))
    assert at == [near(6.2)]


# -- interruptions -----------------------------------------------------------------------------------------------------


def test_words_are_counted_within_one_overlap_and_never_prefixed_to_the_next_turn() -> None:
    backchannels = [Speech(4.0 + i, 4.3 + i, "mhm", 4.4 + i) for i in range(2)]
    question = Speech(7.0, 8.0, "What day is it?", 8.1)
    record = run(converse([TURN, *backchannels, question], until=14, min_interruption_words=3))
    assert record.playouts[0] == [near(3.2), near(6.2)]
    assert [text for role, text in record.log() if role == "user"] == [QUESTION, "What day is it?"]
    assert len(record.all("backchannel")) == 2


def test_a_short_word_does_not_end_a_reply() -> None:
    record = run(converse([TURN, Speech(4.0, 4.3, "ok", 4.5)], until=9))
    assert record.playouts == [[near(3.2), near(6.2)]]
    assert record.log() == [("user", QUESTION), ("assistant", REPLY)]


# -- hold, away, modes ------------------------------------------------------------------------------------------------


def test_on_hold_nothing_is_said_heard_or_answered() -> None:
    music = Speech(6.0, 9.0, "la la la", 9.2)
    after = Speech(12.0, 13.0, "I am back.", 13.2)
    record = run(
        converse(
            [TURN, music, after],
            until=20,
            script=[
                (4.5, lambda s: s.hold(True)),
                (5.0, lambda s: s.say("Hm?")),
                (10.0, lambda s: s.hold(False)),
            ],
        )
    )
    assert record.playouts[0] == [near(3.2), near(4.5)]
    assert record.playouts[1][0] == near(13.7)
    assert [text for role, text in record.log() if role == "user"] == [QUESTION, "I am back."]
    states = [state for when, state in record.agent_states if 4.6 < when < 10.0]
    assert states == []


def test_speech_after_a_hold_is_timed_by_when_it_was_spoken() -> None:
    script = [(2.0, lambda s: s.hold(True)), (6.5, lambda s: s.hold(False))]
    record = run(converse([Speech(7.0, 8.0, QUESTION, 8.3)], until=12, script=script))
    assert record.commits == [near(8.5)]


def test_the_user_counts_as_away_after_silence() -> None:
    record = run(converse([TURN], until=30, user_away_timeout=15.0))
    away = [when for when, event in record.all("user_state_changed") if event.new_state == "away"]
    assert away == [near(6.2 + 15.0)]


def test_manual_turns_end_on_request() -> None:
    record = run(
        converse([TURN], until=12, turn_detection="manual", script=[(5.0, lambda s: s.commit_user_turn())])
    )
    assert record.commits == [near(5.0)]


def test_transcripts_alone_start_and_end_turns() -> None:
    speech = Speech(0.5, 2.5, QUESTION, 2.7, interims=[(1.0, "what")])

    class Deaf(ScriptedVAD):
        pass

    record = run(converse([speech], until=9, vad=Deaf([]), turn_detection="stt"))
    states = [(when, str(event.new_state)) for when, event in record.all("user_state_changed")]
    assert states == [(near(1.0), "speaking"), (near(2.7), "silent")]
    assert record.commits == [near(3.2)]


def test_replies_are_text_where_there_is_no_voice() -> None:
    async def play() -> list[Any]:
        session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
        await session.start(Agent())
        session.input_text(QUESTION)
        await asyncio.sleep(1.0)
        history = [(m.role, m.content) for m in session.history]
        await session.aclose()
        return history

    assert run(play()) == [("user", QUESTION), ("assistant", REPLY)]


def test_a_session_without_a_model_only_listens() -> None:
    async def play() -> tuple[list[Any], list[Any]]:
        session: AgentSession[None] = AgentSession()
        errors: list[Any] = []
        session.on("error", errors.append)
        await session.start(Agent())
        session.input_text(QUESTION)
        await asyncio.sleep(5.0)
        assert not session.closed
        assert session.agent_state == "idle"
        history = [(m.role, m.content) for m in session.history]
        await session.aclose()
        return history, errors

    assert run(play()) == ([("user", QUESTION)], [])


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="min_endpointing_delay"):
        AgentSession(min_endpoint_delay=0.3)
    with pytest.raises(ConfigurationError, match="manual"):
        AgentSession(turn_detection="magic")


# -- the end -----------------------------------------------------------------------------------------------------------


def test_shutdown_lets_the_last_words_be_heard() -> None:
    class Leaving(Agent):
        @function_tool
        async def hang_up(self, ctx: RunContext) -> str:
            """End the call."""
            ctx.session.shutdown(reason=CloseReason.SHUTDOWN)
            return "bye"

    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "hang_up")])})
    record = run(converse([TURN], until=15, llm=llm, agent=Leaving(instructions=""), close=False))
    assert record.log()[-1] == ("assistant", REPLY)
    ((closed_at, closed),) = record.all("close")
    assert closed.reason is CloseReason.SHUTDOWN
    assert closed_at == pytest.approx(record.playouts[-1][1], abs=0.1)


def test_closing_from_a_tool_closes_once() -> None:
    class Leaving(Agent):
        @function_tool
        async def leave(self, ctx: RunContext) -> str:
            """Leave at once."""
            await ctx.session.aclose()
            return "never said"

    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "leave")])})
    record = run(converse([TURN], until=9, llm=llm, agent=Leaving(instructions=""), close=False))
    assert len(record.times("close")) == 1


def test_two_hundred_sessions_leave_nothing_behind() -> None:
    """Sessions that end in every phase of a turn leave no task and no object."""

    async def one(index: int) -> None:
        await converse(
            [TURN, Speech(4.0, 5.0, "Stop.", 5.2)],
            until=(index % 40) * 0.2,
            tts=ScriptedTTS(length=1.0),
            stt=None,
        )

    def count() -> int:
        gc.collect()
        kinds = (
            "AgentSession",
            "Conversation",
            "Reply",
            "SpeechSegment",
            "Recognition",
            "Task",
            "Transcriber",
        )
        return sum(type(thing).__name__ in kinds for thing in gc.get_objects())

    async def many() -> tuple[int, int]:
        for index in range(40):
            await one(index)
        await asyncio.sleep(1)
        before = count()
        for batch in range(16):
            await asyncio.gather(*(one(batch * 10 + index) for index in range(10)))
        await asyncio.sleep(1)
        return before, count()

    before, after = run(many(), limit=3600)
    assert after <= before + 2
