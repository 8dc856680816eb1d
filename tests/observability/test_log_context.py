"""Records say which call they belong to, wherever in it they are written, and look as people or machines want them."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.cli.logs import set_up_logging
from antiphon.models.errors import ConfigurationError
from antiphon.observability import bind, carrying_context, log_fields, log_handler

logger = logging.getLogger("antiphon.test")


class Log:
    def __init__(self, format: str) -> None:
        self.stream = io.StringIO()
        self.handler = log_handler(format, self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def calls(self) -> list[tuple[str, str | None]]:
        return [(entry["message"], entry.get("fields", {}).get("call_id")) for entry in self.entries]


@pytest.fixture
def log() -> Iterator[Log]:
    yield from attached("json")


@pytest.fixture
def text() -> Iterator[Log]:
    yield from attached("text")


def attached(format: str) -> Iterator[Log]:
    log = Log(format)
    logger.addHandler(log.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield log
    logger.removeHandler(log.handler)
    logger.propagate = True


def test_tasks_of_a_call_inherit_its_fields_and_calls_do_not_mix(log: Log) -> None:
    async def part(name: str) -> None:
        await asyncio.sleep(0)
        logger.info("part of %s", name)
        await asyncio.to_thread(logger.info, "thread of %s", name)

    async def call(name: str) -> None:
        bind(call_id=name, assistant="Bank")
        asyncio.get_running_loop().call_soon(logger.info, "timer of %s", name)
        await asyncio.gather(part(name), part(name))

    async def both() -> None:
        await asyncio.gather(call("a"), call("b"))
        logger.info("outside")

    asyncio.run(both())
    assert len(log.calls) == 11
    assert all(call == (None if said == "outside" else said[-1]) for said, call in log.calls)


def test_a_function_carries_its_context_into_any_thread(log: Log) -> None:
    with log_fields(call_id="a"):
        carried = carrying_context(logger.info)
    threads = [threading.Thread(target=carried, args=("x",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.info("y")
    assert log.calls == [("x", "a")] * 4 + [("y", None)]


def test_fields_end_with_their_block_and_none_removes_one(log: Log) -> None:
    with log_fields(call_id="a", assistant="Bank"):
        with log_fields(assistant=None, job="j"):
            logger.info("inside", extra={"seconds": 1.5})
        logger.info("around")
    logger.info("outside")
    assert [entry.get("fields") for entry in log.entries] == [
        {"call_id": "a", "job": "j", "seconds": 1.5},
        {"call_id": "a", "assistant": "Bank"},
        None,
    ]


def test_a_json_record_is_one_line_with_all_that_machines_want(log: Log) -> None:
    with log_fields(call_id="a", odd=object):
        try:
            raise OSError("no space left")
        except OSError:
            logger.exception("two\nlines and a \u2028 \x1b[31m")
    (line,) = log.stream.getvalue().split("\n")[:-1]
    entry = json.loads(line)
    assert len(line.splitlines()) == 1
    at = datetime.datetime.fromisoformat(entry.pop("ts"))
    assert at.utcoffset() == datetime.timedelta(0)
    assert abs(datetime.datetime.now(datetime.UTC) - at) < datetime.timedelta(minutes=1)
    assert entry.pop("exception").splitlines()[-1] == "OSError: no space left"
    assert entry == {
        "level": "error",
        "logger": "antiphon.test",
        "message": "two\nlines and a \u2028 \x1b[31m",
        "fields": {"call_id": "a", "odd": "<class 'object'>"},
    }


def test_a_text_record_is_a_line_that_nobody_can_forge(text: Log) -> None:
    with log_fields(call_id="a", room="two words", empty=""):
        logger.warning("hello %s", "Ann\n2026-01-01T00:00:00.000Z ERROR root: forged \x1b[2J")
    (line,) = text.lines
    assert line.endswith(
        "Z WARNING antiphon.test: hello Ann\\n2026-01-01T00:00:00.000Z ERROR root: forged \\x1b[2J"
        ' [call_id=a room="two words" empty=""]'
    )


@pytest.mark.parametrize(
    ("environment", "format", "is_json"),
    [
        ({}, None, False),
        ({"ANTIPHON_LOG_FORMAT": "JSON"}, None, True),
        ({"ANTIPHON_LOG_FORMAT": "text"}, "json", False),
        ({}, "json", True),
    ],
)
def test_the_format_is_chosen_by_the_environment(
    environment: dict[str, str],
    format: str | None,
    is_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ANTIPHON_LOG_FORMAT", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = logging.root.handlers[:], logging.root.level
    try:
        set_up_logging("info", format)
        logging.getLogger("antiphon.other").info("hello")
    finally:
        logging.root.handlers[:], level = before
        logging.root.setLevel(level)
    said = capsys.readouterr().err
    assert said.startswith("{") == is_json
    assert "hello" in said


def test_a_wrong_format_is_refused_with_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_LOG_FORMAT", "xml")
    with pytest.raises(ConfigurationError, match="text, json"):
        set_up_logging("info")
