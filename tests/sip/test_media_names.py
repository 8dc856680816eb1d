"""Host names in the `c=` lines of descriptions: RFC 8866 section 5.7 (RFC 4566 section 5.7 before it)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.sip.admission import Admission
from antiphon.sip.events import Ended, IncomingCall, MediaChanged, SipEvent
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.transport import Listener, SipEndpoint
from antiphon.sip.transport import media_names as media_names_module
from antiphon.sip.transport import resolver as resolver_module
from support.raw_peer import HOST, RawPeer, raw_peer
from support.sip_wire import sdp

MEDIA = LocalMedia(HOST, 20000)


class Answering:
    """An endpoint that answers calls, and what it reported."""

    def __init__(self) -> None:
        self.endpoint: SipEndpoint
        self.answers = True
        self.events: list[SipEvent] = []

    def happened(self, event: SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, IncomingCall) and self.answers:
            self.endpoint.answer(event.call, MEDIA)

    def media(self) -> list[tuple[str, bool]]:
        return [(e.media.address, e.media.on_hold) for e in self.events if isinstance(e, MediaChanged)]


@contextlib.asynccontextmanager
async def called() -> AsyncIterator[tuple[Answering, RawPeer]]:
    """An endpoint, and a peer that calls it."""
    made = Answering()
    made.endpoint = await SipEndpoint.start(
        [Listener("UDP", HOST, 0)], made.happened, admission=Admission(everyone=True)
    )
    try:
        async with raw_peer(made.endpoint.addresses["UDP"]) as peer:
            yield made, peer
    finally:
        await made.endpoint.aclose(drain=0.0)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to; those that begin with `slow` take some time for it, and others are unknown."""
    known: dict[str, list[str]] = {}

    async def addresses(host: str, _transport: str) -> list[str]:
        if host.startswith("slow"):
            await asyncio.sleep(0.1)
        if host.startswith("mute"):
            await asyncio.sleep(60)
        if host not in known:
            raise OSError(f"{host} is unknown")
        return known[host]

    monkeypatch.setattr(resolver_module, "_addresses", addresses)
    monkeypatch.setattr(media_names_module, "NAME_SECONDS", 0.3)
    return known


def at(name: str, **more: Any) -> bytes:
    return sdp(address=name, **more)


def test_media_goes_to_the_address_of_the_name(names: dict[str, list[str]], run_clean: Any) -> None:
    """RFC 8866 section 5.7: in the session, in the section that overrides it, and in a re-INVITE."""
    names["media.example"] = ["2001:db8::7", "127.0.0.7"]
    names["other.example"] = ["127.0.0.8"]

    async def main() -> None:
        async with called() as (ours, far):
            await far.call(at("media.example"))
            await far.call(at(HOST, extra="c=IN IP4 other.example\r\n", version=2))
            assert ours.media() == [("127.0.0.7", False), ("127.0.0.8", False)]

    run_clean(main())


def test_hold_by_the_address_of_nowhere_looks_nothing_up(names: dict[str, list[str]], run_clean: Any) -> None:
    """RFC 3264 section 8.4: 0.0.0.0 in the section, a name in the session that nobody needs then."""
    names["media.example"] = ["127.0.0.7"]

    async def main() -> None:
        async with called() as (ours, far):
            await far.call(at("media.example"))
            await far.call(at("gone.example", extra="c=IN IP4 0.0.0.0\r\n", version=2))
            await far.call(at("media.example", version=3))
            assert [hold for _, hold in ours.media()] == [False, True, False]

    run_clean(main())


@pytest.mark.parametrize("name", ["gone.example", "mute.example", "six.example"])
def test_a_name_that_leads_nowhere_is_refused_with_the_reason(
    name: str, names: dict[str, list[str]], run_clean: Any
) -> None:
    """RFC 3261 section 21.4.26: 488, with a Warning that says why."""
    names["six.example"] = ["2001:db8::7"]

    async def main() -> None:
        async with called() as (_, far):
            far.send("INVITE", at(name))
            refusal = await far.response()
            assert refusal.status == 488
            assert f"wants media at {name}" in (refusal.headers.get("Warning") or "")

    run_clean(main())


def test_what_follows_of_the_call_waits_and_other_calls_do_not(
    names: dict[str, list[str]], run_clean: Any
) -> None:
    """RFC 3261 section 9.2: a CANCEL that overtook its INVITE would cancel nothing."""
    names["slow.example"] = ["127.0.0.7"]

    async def main() -> None:
        async with called() as (ours, far):
            ours.answers = False
            far.send("INVITE", at("slow.example"), branch="z9hG4bKone")
            far.send("INVITE", at("slow.example"), cseq=1, branch="z9hG4bKone")  # again, as nobody answers
            far.send("CANCEL", cseq=1, branch="z9hG4bKone")
            far.send("OPTIONS", Call_ID="another")
            assert str((await far.response()).cseq) == "2 OPTIONS"
            assert ours.events == []
            found = [await far.response() for _ in range(2)]
            assert {str(one.cseq): one.status for one in found} == {"1 CANCEL": 200, "1 INVITE": 487}
            assert [type(event) for event in ours.events] == [IncomingCall, Ended]

    run_clean(main())
