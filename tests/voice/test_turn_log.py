"""The conversation's log: what stands in it, in which order, after any sequence of turns, tools and interruptions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.chat_context import ChatMessage, ToolCall
from antiphon.voice.turn_log import TurnLog

STEPS = st.lists(
    st.tuples(st.sampled_from(["user", "open", "heard", "unheard", "tool"]), st.text("ab ", max_size=5)),
    max_size=40,
)


@given(STEPS)
def test_no_call_is_without_its_result_after_it(steps: list[tuple[str, str]]) -> None:
    log, open_messages, calls = TurnLog(), list[ChatMessage](), 0
    for what, text in steps:
        if what == "user":
            log.add_user(text)
        elif what == "open":
            open_messages.append(log.open_assistant())
        elif what == "tool":
            calls += 1
            log.add_tool_result(ToolCall(f"call_{calls}", "lookup"), text, is_error=False)
        elif open_messages:
            log.seal(open_messages.pop(), text if what == "heard" else "", interrupted=what == "unheard")
        items = log.snapshot().items
        for index, item in enumerate(items):
            for call in item.tool_calls or ():
                assert items[index + 1].role == "tool"
                assert items[index + 1].tool_call_id == call.id
            if item.role == "tool":
                assert items[index - 1].tool_calls


def test_a_message_keeps_its_place_while_it_is_heard() -> None:
    log = TurnLog()
    log.add_user("What time is it?")
    message = log.open_assistant()
    log.add_tool_result(ToolCall("call_1", "lookup"), "noon", is_error=False)
    assert log.seal(message, "Let me", interrupted=True)
    assert [item.role for item in log.context] == ["user", "assistant", "assistant", "tool"]
    assert log.context[1].content == "Let me"
    assert log.context[1].interrupted


def test_nothing_heard_is_no_message() -> None:
    log = TurnLog()
    message = log.open_assistant()
    assert not log.seal(message, "  ", interrupted=True)
    assert len(log.context) == 0
