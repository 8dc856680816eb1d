"""Conversations with controllers attached."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.voice import AgentSession
from antiphon.voice.controllers import Controller

from .scripted import Recording, Speech, converse
from .virtual_time import run

QUESTION = "What time is it?"
REPLY = "This is the whole answer to what you said."
TURN = Speech(0.5, 2.5, QUESTION, 2.7)
"""Answered from 3.2 to 6.2 s by the scripted models with their usual delays."""


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.02)


def play(
    speeches: Any, *controllers: Controller, until: float, script: Any = (), **options: Any
) -> Recording:
    """Converse with `controllers`, attached as soon as the session has started."""

    def attach(session: AgentSession[Any]) -> None:
        for controller in controllers:
            controller.attach(session)

    record = run(converse(speeches, until=until, script=[(0.0, attach), *script], **options))
    assert not any(controller.attached for controller in controllers)
    return record


def said(record: Recording) -> list[tuple[float, str]]:
    """What the assistant said as far as it was heard, when each was complete."""
    return [
        (when, event.item.content)
        for when, event in record.all("conversation_item_added")
        if event.item.role == "assistant"
    ]


def closed(record: Recording) -> list[tuple[float, str]]:
    return [(when, str(event.reason)) for when, event in record.all("close")]
