"""Conversations with a realtime model, on virtual time: as with three models, turn by turn."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.chat_context import ChatMessage, ToolCall
from antiphon.models.errors import ConfigurationError, ProviderError, ProviderStatusError
from antiphon.models.tools import RunContext, function_tool
from antiphon.turns import VADOnly
from antiphon.voice import Agent, AgentSession
from antiphon.voice.builtin_tools import end_call_tool
from antiphon.voice.controllers import HoldController, SilenceWatchdog, SilenceWatchdogOptions
from support.realtime import ScriptedRealtime
from support.scripted import Answer, Recording, ScriptedLLM, ScriptedTTS, ScriptedVAD, Speech, converse
from support.virtual_time import run

HELLO = Speech(1.0, 2.0)
ANSWER = Answer("Good day, how can I help you today?")


class Desk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Be kind.")
        self.asked: list[str] = []

    @function_tool
    async def opening_hours(self, context: RunContext[Any]) -> str:
        """When the shop is open."""
        self.asked.append(context.function_call.name)
        return "nine to five"


def said(record: Recording, role: str) -> list[str]:
    return [item.item.content for _, item in record.all("conversation_item_added") if item.item.role == role]


def talk(model: ScriptedRealtime, *speeches: Speech, **settings: Any) -> Recording:
    """A conversation with our own voice activity detector, or the model's if it has one."""
    settings.setdefault("vad", None if model.hears else ScriptedVAD(speeches))
    settings.setdefault("until", 8.0)
    return run(converse(realtime=model, **settings))


@pytest.mark.parametrize("voice", [None, ScriptedTTS(length=2.0)], ids=["realtime", "pipeline"])
@pytest.mark.parametrize("hears", [(), (HELLO,)], ids=["our detector", "its own"])
def test_a_turn_is_heard_and_answered(voice: ScriptedTTS | None, hears: tuple[Speech, ...]) -> None:
    model = ScriptedRealtime(("Hello there.", 0.9), answers=ANSWER, speaks=voice is None, hears=hears)
    record = talk(model, HELLO, tts=voice)
    assert record.log() == [("user", "Hello there."), ("assistant", ANSWER.text)]
    assert said(record, "user") == ["Hello there."]
    assert said(record, "assistant") == [ANSWER.text]
    assert model.sessions[0].begun_with == ("Be brief.", [])
    assert model.asked == [("commit",), ("reply", None)]
    asked = model.times("reply")
    assert asked == [pytest.approx(2.5, abs=0.05)], "the reply does not wait for the transcript"
    first = 2.5 + (0.1 if voice is None else 0.5)
    assert record.playouts[0][0] == pytest.approx(first, abs=0.1)
    latency = next(event.latency for _, event in record.all("metrics_collected"))
    assert latency.answers_turn
    assert latency.total == pytest.approx(first - 2.0, abs=0.15)
    assert [str(state) for _, state in record.agent_states][-3:] == ["thinking", "speaking", "idle"]


def test_only_what_the_user_says_is_sent() -> None:
    model = ScriptedRealtime(("One.", 0.1), ("Two.", 0.1), length=0.5)
    talk(model, HELLO, Speech(5.0, 5.8))
    first, second = model.sessions[0].committed
    assert 1.0 <= first <= 2.0
    assert 0.8 <= second <= 1.7


def test_an_interruption_is_told_with_what_was_heard() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), ("Wait, stop.", 0.1), answers=ANSWER, length=4.0)
    record = talk(model, HELLO, Speech(4.0, 5.0), until=12.0)
    rows = record.log()
    assert rows[0] == ("user", "Hello.")
    assert rows[1][0] == "assistant"
    assert ANSWER.text.startswith(rows[1][1])
    assert rows[1][1] != ANSWER.text
    assert rows[2:] == [("user", "Wait, stop."), ("assistant", ANSWER.text)]
    (cut,) = [entry for entry in model.asked if entry[0] == "cut"]
    heard = record.playouts[0][1] - record.playouts[0][0]
    assert cut[1] == pytest.approx(heard, abs=0.1)
    assert cut[2] == rows[1][1]
    assert record.playouts[0][1] == pytest.approx(4.5, abs=0.1)


def test_noise_over_the_agent_is_none_of_its_business() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), ("", 0.3), answers=ANSWER, length=3.0)
    record = talk(model, HELLO, Speech(4.0, 5.0), until=14.0)
    assert record.log() == [("user", "Hello."), ("assistant", ANSWER.text)]
    assert len(model.times("reply")) == 1
    assert not model.times("cut")
    assert record.all("agent_false_interruption")
    assert record.speaker is not None
    assert record.speaker.audio.size == 3 * 24000, "paused, and not a sample lost"


def test_a_short_word_over_the_agent_takes_no_turn() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), ("mhm", 0.1), answers=ANSWER, length=4.0)
    record = talk(model, HELLO, Speech(4.0, 4.3), until=12.0)
    assert record.log() == [("user", "Hello."), ("assistant", ANSWER.text)]
    assert [event.text for _, event in record.all("agent_backchannel") or record.all("backchannel")] == [
        "mhm"
    ]


def test_an_acknowledgement_over_the_agent_takes_no_turn_however_long() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), ("Right, okay.", 0.1), answers=ANSWER, length=4.0)
    record = talk(model, HELLO, Speech(4.0, 4.9), until=12.0)
    assert record.log() == [("user", "Hello."), ("assistant", ANSWER.text)]
    assert not model.times("cut")


def test_a_turn_whose_words_never_come_is_answered() -> None:
    for model in (
        ScriptedRealtime(None, answers=ANSWER),
        ScriptedRealtime(None, answers=ANSWER, input_transcription=False),
    ):
        record = talk(model, HELLO, until=9.0)
        assert said(record, "assistant") == [ANSWER.text]
        assert said(record, "user") == []


def test_tools_run_and_their_results_reach_the_model() -> None:
    answers = {
        "When are you open?": Answer("Let me see.", calls=[ToolCall("call_1", "opening_hours")]),
        "tool:opening_hours": Answer("From nine to five."),
    }
    agent = Desk()
    model = ScriptedRealtime(("When are you open?", 0.2), answers=answers, length=1.0)
    record = talk(model, HELLO, agent=agent)
    assert agent.asked == ["opening_hours"]
    assert record.log() == [
        ("user", "When are you open?"),
        ("assistant", "Let me see."),
        ("assistant", "call:opening_hours"),
        ("tool", "result:nine to five"),
        ("assistant", "From nine to five."),
    ]
    assert model.asked == [
        ("commit",),
        ("reply", None),
        ("message", "tool", "nine to five"),
        ("reply", None),
    ]


class Expert(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Be precise.")


class Reception(Agent):
    @function_tool
    async def expert(self) -> Agent:
        """Hand over."""
        return Expert()


@pytest.mark.parametrize("live_updates", [True, False])
def test_another_agent_takes_over(live_updates: bool) -> None:
    answers = {
        "Who knows?": Answer("Wait.", calls=[ToolCall("call_1", "expert")]),
        "tool:expert": Answer("I do."),
    }
    model = ScriptedRealtime(
        ("Who knows?", 0.1), ("Really?", 0.1), answers=answers, length=1.0, live_updates=live_updates
    )
    record = talk(model, HELLO, Speech(6.5, 7.0), agent=Reception(instructions="Be kind."), until=11.0)
    assert [text for role, text in record.log() if role == "assistant"] == [
        "Wait.",
        "call:expert",
        "I do.",
        Answer().text,
    ]
    assert not record.all("error")
    if live_updates:
        assert ("update", "Be precise.", []) in model.asked
    else:
        reception, expert = model.sessions
        assert (reception.begun_with, expert.begun_with) == (
            ("Be kind.", ["expert"]),
            ("Be precise.", []),
        )
        assert [entry[1:] for entry in expert.asked[:4]] == [
            ("message", "user", "Who knows?"),
            ("message", "assistant", "Wait."),
            ("message", "assistant", ""),
            ("message", "tool", "Handed over."),
        ]


def test_the_agent_may_speak_first_and_hang_up() -> None:
    answers = {"Bye.": Answer("", calls=[ToolCall("call_1", "end_call")])}
    model = ScriptedRealtime(("Bye.", 0.1), answers=answers, length=1.0)
    agent = Agent(instructions="Be brief.", tools=[end_call_tool("Goodbye.")])
    record = talk(
        model,
        Speech(4.0, 5.0),
        agent=agent,
        script=[(0.5, lambda session: session.generate_reply(instructions="Greet Ann."))],
        until=12.0,
    )
    assert model.sessions[0].begun_with == ("Be brief.", ["end_call"])
    assert model.asked[0] == ("reply", "Be brief.\n\nGreet Ann.")
    assert ("speak", "Goodbye.") in model.asked
    (closed,) = [event for _, event in record.all("close")]
    assert closed.reason == "agent_hangup"
    assert record.log()[-1] == ("assistant", "Goodbye.")


def test_what_is_said_and_typed_reaches_the_model() -> None:
    model = ScriptedRealtime(answers=ANSWER, length=0.5)
    record = talk(
        model,
        script=[
            (0.5, lambda session: session.say("We close at five.")),
            (2.0, lambda session: session.input_text("And tomorrow?")),
        ],
        agent=Agent(instructions="Be kind.", chat_ctx=None),
    )
    assert model.asked == [
        ("speak", "We close at five."),
        ("message", "assistant", "We close at five."),
        ("message", "user", "And tomorrow?"),
        ("reply", None),
    ]
    assert [role for role, _ in record.log()] == ["assistant", "user", "assistant"]


def test_the_hook_may_tell_the_model_something() -> None:
    class Informed(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: ChatMessage) -> None:
            turn_ctx.add_message(role="system", content="The caller is Ann.")

    model = ScriptedRealtime(("Hello.", 0.1), answers=ANSWER)
    talk(model, HELLO, agent=Informed(instructions="Be kind."))
    assert ("message", "system", "The caller is Ann.") in model.asked


def test_on_hold_nothing_is_heard_and_nothing_said() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), answers=ANSWER, length=3.0)
    hold = HoldController()
    record = talk(
        model,
        HELLO,
        Speech(4.2, 5.2),
        script=[
            (0.0, hold.attach),
            (3.5, lambda _: hold.signal_hold(True)),
            (6.0, lambda _: hold.signal_hold(False)),
        ],
        until=9.0,
    )
    assert len(model.times("commit")) == 1
    assert len(model.times("reply")) == 1
    assert model.times("cut") == [pytest.approx(3.5, abs=0.05)]
    assert record.playouts[-1][1] == pytest.approx(3.5, abs=0.1)


def test_a_silent_caller_is_asked_and_let_go() -> None:
    model = ScriptedRealtime(answers=ANSWER, length=1.0)
    watchdog = SilenceWatchdog(
        SilenceWatchdogOptions(interval=3.0, reprompts=1, texts=("Hello?",), goodbye="Bye.")
    )
    record = talk(model, script=[(0.1, watchdog.attach)], until=20.0)
    assert [entry for entry in model.asked if entry[0] == "speak"] == [("speak", "Hello?"), ("speak", "Bye.")]
    (closed,) = [event for _, event in record.all("close")]
    assert closed.reason == "silence_timeout"


def test_a_lost_connection_is_made_anew_with_the_conversation() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), ("And now?", 0.1), answers=ANSWER, length=1.0)
    record = talk(
        model,
        HELLO,
        Speech(7.0, 8.0),
        script=[(5.0, lambda _: model.sessions[0].drop())],
        until=12.0,
    )
    assert [entry[1:] for entry in model.sessions[1].asked] == [
        ("message", "user", "Hello."),
        ("message", "assistant", ANSWER.text),
        ("commit",),
        ("reply", None),
    ]
    assert [event.recoverable for _, event in record.all("error")] == [True]
    assert record.log()[-2:] == [("user", "And now?"), ("assistant", ANSWER.text)]


def test_an_utterance_survives_a_lost_connection() -> None:
    model = ScriptedRealtime(("Hello there.", 0.1), answers=ANSWER, length=1.0)
    record = talk(model, HELLO, script=[(1.5, lambda _: model.sessions[0].drop())])
    assert record.log() == [("user", "Hello there."), ("assistant", ANSWER.text)]
    assert 1.0 <= model.sessions[1].committed[0] <= 2.0


@pytest.mark.parametrize(
    ("errors", "at_most"),
    [
        ([ProviderStatusError("no such key", status=401)], 1.0),
        ([ProviderError("busy")] * 20, 10.0),
    ],
    ids=["a bad key at once", "after some tries"],
)
def test_a_model_that_cannot_be_reached_ends_the_session(
    errors: list[BaseException], at_most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = ScriptedTTS(length=0.5)
    monkeypatch.setattr("antiphon.models.registry.resolve_tts", lambda name: voice)
    model = ScriptedRealtime(refuses=errors)
    record = talk(model, until=12.0)
    ((when, closed),) = record.all("close")
    assert closed.reason == "error"
    assert closed.error is not None
    assert [text for _, text in voice.texts] == [record.session.options.farewell]  # type: ignore[union-attr]
    assert when < at_most + 1.0


def test_a_reply_that_fails_is_apologised_for() -> None:
    model = ScriptedRealtime(("Hello.", 0.1), answers=Answer(error=ProviderError("rate limit")), length=1.0)
    record = talk(model, HELLO)
    session = record.session
    assert session is not None
    assert ("speak", session.options.apology) in model.asked
    assert said(record, "assistant") == [session.options.apology]


def test_what_does_not_go_together_is_refused() -> None:
    model = ScriptedRealtime()
    vad = ScriptedVAD(())
    with pytest.raises(ConfigurationError, match="no stt and no llm"):
        AgentSession(realtime=model, llm=ScriptedLLM(), vad=vad)
    with pytest.raises(ConfigurationError, match="give the session a vad"):
        AgentSession(llm=model)
    with pytest.raises(ConfigurationError, match="turn_detection"):
        AgentSession(llm=model, vad=vad, turn_detection=VADOnly())
