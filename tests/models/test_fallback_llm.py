"""Language models and the chain behind every fallback adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.chat_context import ChatContext, ToolCall
from antiphon.models.deadlines import guard_llm_stream
from antiphon.models.errors import (
    AllProvidersFailed,
    ConfigurationError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeout,
)
from antiphon.models.fallback import AvailabilityChanged, BackOff, FallbackAdapter, LLMFallbackAdapter
from antiphon.models.fallback.chain import ProviderChain
from antiphon.models.llm import LLM, ChatChunk, LLMCapabilities, LLMStream

HANG = object()
CALL = ToolCall("c1", "lookup", "{}")


class Model(LLM):
    """Plays one script for each request, the last one again and again."""

    def __init__(self, name: str, *scripts: Sequence[Any], **can: bool) -> None:
        self.name = name
        self.scripts = list(scripts) or [[name]]
        self.can = LLMCapabilities(**can)
        self.asked = 0
        self.open = 0

    @property
    def label(self) -> str:
        return self.name

    @property
    def capabilities(self) -> LLMCapabilities:
        return self.can

    def chat(self, *args: Any, **options: Any) -> LLMStream:
        script = self.scripts[min(self.asked, len(self.scripts) - 1)]
        self.asked += 1
        if script and script[0] == "refuse":
            raise ProviderStatusError("bad key", status=401)
        return Reply(self, script)


class Reply(LLMStream):
    def __init__(self, model: Model, script: Sequence[Any]) -> None:
        self.model, self.script = model, script
        model.open += 1
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        for step in self.script:
            if step is HANG:
                await asyncio.Event().wait()
            elif isinstance(step, Exception):
                raise step
            elif isinstance(step, ToolCall):
                yield ChatChunk(tool_calls=[step])
            else:
                yield ChatChunk(step)

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.model.open -= 1


def adapter(*models: Model, **options: Any) -> LLMFallbackAdapter:
    return LLMFallbackAdapter(models, attempt_timeout=0.03, stall_timeout=0.03, **options)


async def reply(llm: LLM) -> list[Any]:
    stream = llm.chat(ChatContext())
    said: list[Any] = []
    try:
        async for chunk in stream:
            part = chunk.tool_calls[0].name if chunk.tool_calls else chunk.delta
            said.append(part)
    except ProviderError as error:
        said.append(error)
    return said


GOOD = ["Hello", " there"]
BOOM = ProviderError("boom")

TAKES_OVER = [
    ("an error at once", [BOOM]),
    ("a refusal to start", ["refuse"]),
    ("any other error", [ValueError("vendor bug")]),
    ("no answer", [HANG]),
    ("nothing", []),
    ("only white space", [" ", "\n"]),
    ("white space, then an error", [" ", BOOM]),
    ("white space, then silence", [" ", HANG]),
    ("an empty chunk, then silence", ["", HANG]),
]


@pytest.mark.parametrize("script", [row[1] for row in TAKES_OVER], ids=[row[0] for row in TAKES_OVER])
def test_the_next_model_answers_after(script: list[Any]) -> None:
    first, second = Model("first", script), Model("second", GOOD)
    assert asyncio.run(reply(adapter(first, second))) == GOOD
    assert first.open == second.open == 0


def test_white_space_before_an_answer_is_passed_on_with_it() -> None:
    assert asyncio.run(reply(adapter(Model("a", [" ", "", "Hi"])))) == [" ", "", "Hi"]


@pytest.mark.parametrize(
    ("script", "before", "error"),
    [
        (["Hello", BOOM], ["Hello"], "boom"),
        (["Hello", HANG], ["Hello"], "first stalled: it did not go on within 0.03 s"),
        ([CALL, BOOM], ["lookup"], "boom"),
        (["Hello", ValueError("x")], ["Hello"], "first failed: ValueError"),
    ],
)
def test_a_second_answer_is_never_glued_to_the_first(
    script: list[Any], before: list[str], error: str
) -> None:
    second = Model("second", GOOD)
    *said, failure = asyncio.run(reply(adapter(Model("first", script), second)))
    assert said == before
    assert isinstance(failure, ProviderError)
    assert str(failure) == error
    assert second.asked == 0


def test_when_all_fail_the_causes_are_told_in_order() -> None:
    (failure,) = asyncio.run(reply(adapter(Model("a", [BOOM]), Model("b", [HANG]), Model("c", []))))
    assert isinstance(failure, AllProvidersFailed)
    assert [str(cause) for cause in failure.causes] == [
        "boom",
        "b did not answer within 0.03 s",
        "c gave an empty reply",
    ]
    assert isinstance(failure.causes[1], ProviderTimeout)


def test_a_failed_model_rests_ever_longer_and_is_then_tried_again() -> None:
    now = 0.0
    events: list[AvailabilityChanged] = []
    first, second = Model("first", [BOOM], [BOOM], ["back"]), Model("second", GOOD)
    llm = adapter(
        first,
        second,
        back_off=BackOff(base=10, jitter=0),
        on_availability_changed=events.append,
        clock=lambda: now,
    )

    async def main() -> list[int]:
        nonlocal now
        asked: list[int] = []
        for now in (0, 5, 10.5, 25, 31, 40):  # noqa: B007 - read by the clock
            await reply(llm)
            asked.append(first.asked)
        return asked

    # fails at 0 and, tried again, at 10.5; rests 20 s then; works at 31
    assert asyncio.run(main()) == [1, 1, 2, 2, 3, 4]
    assert [(event.provider, event.available, event.retry_in) for event in events] == [
        ("first", False, 10.0),
        ("first", True, None),
    ]


def test_when_all_rest_all_are_tried_all_the_same() -> None:
    first = Model("first", [BOOM], ["back"])
    llm = adapter(first)
    assert isinstance(asyncio.run(reply(llm))[0], AllProvidersFailed)
    assert asyncio.run(reply(llm)) == ["back"]


def test_a_model_on_probation_has_half_the_time_if_another_can_take_over() -> None:
    now = 0.0
    one, two = Model("one"), Model("two")
    chain: ProviderChain[Model] = ProviderChain([one, two], attempt_timeout=4.0, clock=lambda: now)
    assert [(a.provider.name, a.timeout) for a in chain.attempts()] == [("one", 4.0), ("two", 4.0)]
    chain.failed(one, BOOM)
    assert [(a.provider.name, a.timeout) for a in chain.attempts()] == [("two", 4.0), ("one", 4.0)]
    now = 100.0
    assert [(a.provider.name, a.timeout) for a in chain.attempts()] == [("one", 2.0), ("two", 4.0)]
    assert not chain.is_available(one)


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0.1, 5), st.floats(5, 100))
def test_the_back_off_grows_to_its_maximum(failures: int, chance: float, base: float, maximum: float) -> None:
    back_off = BackOff(base=base, maximum=maximum, jitter=0.2, random=lambda: chance)
    assert back_off.delay(failures) <= maximum * 1.2 + 1e-9
    assert back_off.delay(failures + 1) >= back_off.delay(failures) - 1e-9
    assert back_off.delay(1) >= base * 0.8 - 1e-9


def test_closing_ends_a_reply_and_starts_no_other() -> None:
    async def main() -> None:
        first, second = Model("first", [HANG]), Model("second", GOOD)
        stream = LLMFallbackAdapter([first, second]).chat(ChatContext())

        async def read() -> list[Any]:
            return [chunk.delta async for chunk in stream]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.005)
        await stream.aclose()
        assert await asyncio.wait_for(reading, 1) == []
        assert (first.open, second.asked) == (0, 0)

    asyncio.run(main())


def test_capabilities_are_what_all_can_do() -> None:
    llm = adapter(Model("a", function_calling=True, vision=True), Model("b", function_calling=True))
    assert llm.capabilities == LLMCapabilities(streaming=True, function_calling=True, vision=False)
    assert llm.label == "a > b"


def test_prewarm_forgives_all_but_the_last() -> None:
    class Cold(Model):
        async def prewarm(self) -> None:
            raise ProviderError("cold")

    async def main() -> None:
        llm = adapter(Cold("first"), Model("second", GOOD))
        await llm.prewarm()
        assert await reply(llm) == GOOD
        with pytest.raises(AllProvidersFailed, match="cold"):
            await adapter(Cold("a"), Cold("b")).prewarm()

    asyncio.run(main())


def test_fallback_adapter_picks_by_kind() -> None:
    assert isinstance(FallbackAdapter([Model("a"), Model("b")], attempt_timeout=1), LLMFallbackAdapter)
    for bad in ([], [Model("a"), "b"]):
        with pytest.raises(ConfigurationError, match="providers of one kind"):
            FallbackAdapter(bad)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="at least one provider"):
        LLMFallbackAdapter([])


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (GOOD, "Hello there"),
        ([HANG], "a did not answer within 0.02 s"),
        (["Hello", HANG], "a stalled: it did not go on within 0.02 s"),
        ([BOOM], "boom"),
    ],
)
def test_a_guard_puts_deadlines_on_one_model(script: list[Any], outcome: str) -> None:
    async def main() -> str:
        model = Model("a", script)
        guarded = guard_llm_stream(model.chat(ChatContext()), 0.02, 0.02, provider="a")
        try:
            return "".join([chunk.delta async for chunk in guarded])
        except ProviderError as error:
            return str(error)
        finally:
            assert model.open == 0

    assert asyncio.run(main()) == outcome
