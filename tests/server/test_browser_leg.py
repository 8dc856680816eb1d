"""A browser as the far end of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from antiphon.server.browser_leg import BrowserLeg
from antiphon.telephony import LegEnded, LegEvent, LegMediaReady, LegMediaReceived, TransferFailed

READY, RECEIVED = LegMediaReady(), LegMediaReceived()


class Browser:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def hang_up(self, reason: str) -> None:
        self.asked.append(f"ended: {reason}")

    async def aclose(self, reason: str = "") -> None:
        self.asked.append(f"closed: {reason}")


def told(scene: Callable[[BrowserLeg, list[LegEvent]], Awaitable[None]]) -> list[LegEvent]:
    async def play() -> list[LegEvent]:
        leg, events = BrowserLeg(Browser()), list[LegEvent]()
        await scene(leg, events)
        await asyncio.sleep(0)
        return events

    return asyncio.run(play())


def test_what_happens_before_the_call_listens_is_told_in_order() -> None:
    async def scene(leg: BrowserLeg, events: list[LegEvent]) -> None:
        leg.connected()
        leg.on_event = events.append
        leg.ended("left")

    assert told(scene) == [READY, RECEIVED, LegEnded("left")]


def test_each_event_comes_once() -> None:
    async def scene(leg: BrowserLeg, events: list[LegEvent]) -> None:
        leg.on_event = events.append
        leg.connected()
        leg.ended("left")
        leg.ended("left")
        leg.connected()

    assert told(scene) == [READY, RECEIVED, LegEnded("left")]


def test_our_own_hang_up_is_not_told_as_the_callers() -> None:
    async def scene(leg: BrowserLeg, events: list[LegEvent]) -> None:
        leg.on_event = events.append
        await leg.hang_up(None, "agent_hangup")
        leg.ended("agent_hangup")

    assert told(scene) == []


@pytest.mark.parametrize(
    ("reason", "asked"),
    [("agent_hangup", "ended: agent_hangup"), ("shutdown", "closed: server shutting down")],
)
def test_a_page_is_told_of_an_end_but_waits_for_a_server_that_goes_away(reason: str, asked: str) -> None:
    browser = Browser()
    asyncio.run(BrowserLeg(browser).hang_up(None, reason))
    assert browser.asked == [asked]


def test_it_cannot_be_transferred() -> None:
    with pytest.raises(TransferFailed):
        asyncio.run(BrowserLeg(Browser()).transfer("+14155550123"))
