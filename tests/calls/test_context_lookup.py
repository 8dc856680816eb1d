"""The lookup of a caller's context, against a real web service that behaves well, badly, or not at all."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from standardwebhooks import Webhook

from antiphon.calls.context_lookup import ContextLookup, LookupOutcome, look_up
from antiphon.calls.context_strategy import LONGEST_RESPONSE, ContextRequest, ContextStrategy
from antiphon.calls.document import parse
from antiphon.models.outbound_http import OutboundPolicy
from support.http_service import http_answer, http_service

pytestmark = pytest.mark.needs("httpx", "standardwebhooks")

LOCAL = OutboundPolicy(allowed_networks=["127.0.0.0/8"], max_response=LONGEST_RESPONSE)
REQUEST = ContextRequest(
    assistant_id="asst_1",
    room_name="call_1",
    service="loopback",
    inbound_id="in_1",
    caller_number="+14155550123",
    inbound_number="+14155550199",
    strategy_id="strategy_1",
)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def strategy(url: str, **fields: Any) -> ContextStrategy:
    return parse(ContextStrategy, {"name": "crm", "url": url, "timeout_seconds": 0.5, **fields})


async def ask(*answers: bytes | None, delay: float = 0.0) -> ContextLookup:
    async with http_service(*answers, delay=delay) as service:
        lookup = await look_up(strategy(service.url), REQUEST, policy=LOCAL)
        assert len(service.requests) == 1, "asked once, whatever came of it"
        return lookup


ROWS: list[tuple[str, bytes | None, LookupOutcome]] = [
    ("status 500", http_answer({"context": {"name": "Ann"}}, "500 Oops"), LookupOutcome.BAD_STATUS),
    ("status 404", http_answer({}, "404 Not Found"), LookupOutcome.BAD_STATUS),
    (
        "redirect",
        http_answer({}, "302 Found", "Location: http://127.0.0.1:1/elsewhere\r\n"),
        LookupOutcome.BAD_STATUS,
    ),
    ("no answer", None, LookupOutcome.TIMEOUT),
    ("not JSON", http_answer(b"<html>"), LookupOutcome.BAD_ANSWER),
    ("not UTF-8", http_answer(b'{"context": {"a": "\xff"}}'), LookupOutcome.BAD_ANSWER),
    ("a list", http_answer([1]), LookupOutcome.BAD_ANSWER),
    ("no context", http_answer({"name": "Ann"}), LookupOutcome.BAD_ANSWER),
    ("context is text", http_answer({"context": "Ann"}), LookupOutcome.BAD_ANSWER),
    ("too long", http_answer({"context": {"a": "x" * LONGEST_RESPONSE}}), LookupOutcome.BAD_ANSWER),
    ("not a number", http_answer(b'{"context": {"a": NaN}}'), LookupOutcome.BAD_ANSWER),
    ("half a character", http_answer(b'{"context": {"a": "\\ud800"}}'), LookupOutcome.BAD_ANSWER),
    ("a huge integer", http_answer({"context": {"a": 2**70}}), LookupOutcome.BAD_ANSWER),
    ("nested deeply", http_answer(b'{"context":' + b'{"a":' * 5000), LookupOutcome.BAD_ANSWER),
    ("not HTTP", b"hello\r\n\r\n", LookupOutcome.UNREACHABLE),
    ("closed", b"", LookupOutcome.UNREACHABLE),
]


@pytest.mark.parametrize(("_name", "answer", "outcome"), ROWS, ids=[row[0] for row in ROWS])
def test_whatever_goes_wrong_there_is_no_context(
    _name: str, answer: bytes | None, outcome: LookupOutcome, run_clean: Any
) -> None:
    lookup = run_clean(ask(answer))
    assert (lookup.outcome, lookup.context) == (outcome, {})
    assert lookup.record()["detail"]
    assert lookup.seconds < 1.5


def test_the_context_is_found(run_clean: Any) -> None:
    context = {"name": "Ann & Söhne", "orders": [{"id": 7}]}
    lookup = run_clean(ask(http_answer({"context": context, "other": 1})))
    assert (lookup.outcome, lookup.context) == (LookupOutcome.FOUND, context)
    assert set(lookup.record()) == {"outcome", "seconds"}


def test_an_answer_that_trickles_is_late(run_clean: Any) -> None:
    """The limit is for the whole answer, not for each piece of it."""
    assert run_clean(ask(http_answer({"context": {}}), delay=0.7)).outcome is LookupOutcome.TIMEOUT


def test_what_is_sent_is_signed_and_complete(run_clean: Any) -> None:
    async def main() -> tuple[dict[str, str], bytes]:
        async with http_service(http_answer({"context": {}})) as service:
            asked = strategy(service.url, secret=SECRET, headers={"Authorization": "Bearer crm"})
            assert (await look_up(asked, REQUEST, policy=LOCAL)).outcome is LookupOutcome.FOUND
            return service.requests[0]

    headers, body = run_clean(main())
    assert json.loads(body) == {
        "assistant_id": "asst_1",
        "room_name": "call_1",
        "call_type": "inbound",
        "service": "loopback",
        "inbound_id": "in_1",
        "caller_number": "+14155550123",
        "inbound_number": "+14155550199",
        "strategy_id": "strategy_1",
    }
    assert headers["authorization"] == "Bearer crm"
    Webhook(SECRET).verify(body, headers)


def test_an_inner_address_is_refused(run_clean: Any) -> None:
    async def main() -> ContextLookup:
        async with http_service(http_answer({"context": {}})) as service:
            lookup = await look_up(strategy(service.url), REQUEST)
            assert service.requests == []
            return lookup

    assert run_clean(main()).outcome is LookupOutcome.REFUSED


def test_nobody_there(run_clean: Any) -> None:
    async def main() -> ContextLookup:
        async with http_service(b"") as service:
            url = service.url
        return await look_up(strategy(url), REQUEST, policy=LOCAL)

    assert run_clean(main()).outcome is LookupOutcome.UNREACHABLE


def test_the_log_says_how_it_went_and_nothing_of_what_was_said(
    run_clean: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "antiphon")
    run_clean(ask(http_answer({"context": {"name": "Ann"}})))
    run_clean(ask(http_answer(b'{"password": "hunter2"}')))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "found" in caplog.text
    assert "bad_answer" in caplog.text
    assert "strategy_1" in caplog.text
    assert not [word for word in ("Ann", "hunter2", "+1415") if word in caplog.text]
