"""Starts and ends of calls are logged, and an observer that fails is no matter of the call."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from antiphon.observability import CallObservers, log_handler

CALL = {"assistant_name": "Bank", "direction": "inbound", "service": "generic", "room": "r"}
OVER = {**CALL, "status": "completed", "end_reason": "caller_hangup", "billed_seconds": 61, "sip_code": None}


class Broken:
    def call_started(self, *_: Any) -> None:
        raise RuntimeError("no room on the disk")

    call_ended = call_started


class Seen:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def call_started(self, call_id: str, *_: Any) -> None:
        self.calls.append(f"+{call_id}")

    def call_ended(self, call_id: str, *_: Any) -> None:
        self.calls.append(f"-{call_id}")


def test_an_observer_that_fails_harms_nobody_and_calls_leave_two_records() -> None:
    stream, seen = io.StringIO(), Seen()
    handler = log_handler("json", stream)
    logger = logging.getLogger("antiphon.observability.call_observer")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    session: Any = None
    try:
        observers = CallObservers([Broken(), seen])
        observers.call_started("call_1", CALL, session)
        observers.call_ended("call_1", OVER)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert seen.calls == ["+call_1", "-call_1"]
    first, failed, last, failed_again = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "the agent takes the call"
    assert first["fields"] == {
        "call_id": "call_1",
        "assistant": "Bank",
        "direction": "inbound",
        "service": "generic",
        "room": "r",
    }
    assert last["message"] == "the call is over"
    assert last["fields"] == {
        "call_id": "call_1",
        "assistant": "Bank",
        "direction": "inbound",
        "status": "completed",
        "end_reason": "caller_hangup",
        "billed_seconds": 61,
    }
    for record in (failed, failed_again):
        assert record["level"] == "error"
        assert record["fields"] == {"call_id": "call_1", "assistant": "Bank"}
