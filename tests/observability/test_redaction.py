"""Secrets that somebody logs, in every shape that happens, do not reach the log."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.errors import ProviderError
from antiphon.observability import log_fields
from antiphon.observability.log_context import ContextFields
from antiphon.observability.log_format import JSONFormatter
from antiphon.observability.redaction import Redaction, redact

S = "Zq7SECRETx9"  # what must not be seen

LEAKS = [
    f"Authorization: Bearer {S}",
    f"authorization: bearer {S}",
    f"'Authorization': 'Bearer {S}'",
    f'{{"authorization": "Basic {S}=="}}',
    f"headers={{'X-Api-Key': '{S}', 'Accept': '*/*'}}",
    f"Proxy-Authorization: Digest {S}",
    f"Authorization: {S}",
    f"api_key={S}",
    f"apikey: {S}",
    f"API-KEY={S};",
    f"OPENAI_API_KEY={S}",
    f"export ANTIPHON_SECRET_KEY='{S}'",
    f"ANTIPHON_API_SECRET: {S}",
    f"openaiApiKey={S}",
    f"clientSecret={S}",
    f'"api_key":"{S}"',
    f'"password": "my pass {S} phrase"',
    f'"password": "a \\"quoted\\" {S}"',
    f'{{\\"password\\": \\"{S}\\"}}',
    f"password='it''s {S}'",
    f"password = {S}",
    f"pwd:{S}",
    f"db_password=>{S}",
    f"secret=b'{S}'",
    f"Cookie: session={S}",
    f"token={S}",
    f"accessToken={S}",
    f"refresh_token={S}&grant_type=refresh_token",
    f"https://example.org/hook?token={S}&x=1",
    f"https://example.org/hook?x=1&api_key={S}",
    f"https://example.org/x?X-Amz-Signature={S}&y=2",
    f"https://example.org/x?sig={S}#fragment",
    f"https://user:{S}@example.org/path",
    f"https://{S}@example.org/path",
    f"mongodb://user:{S}@db:27017/antiphon",
    f"mongodb+srv://user:p@{S}@db/antiphon",
    f"redis://:{S}@cache:6379",
    f"postgres://user:pa/{S}@db/x",
    f"failed at <https://user:{S}@example.org>",
    f"sip:alice:{S}@example.org",
    f"sk-{S}",
    f"sk-proj-{S}AAAA",
    f"key ak_{S}_moreofit",
    f"whsec_{S}",
    f"ghp_{S}",
    f"xoxb-{S}",
    f"AIza{S}",
    f"AKIA{S}",
    f"eyJhbGciOiJI.eyJ{S}.sig{S}",
    f"-----BEGIN PRIVATE KEY-----\nMII{S}\n-----END PRIVATE KEY-----",
    f"-----BEGIN RSA PRIVATE KEY-----\nMII{S}\ncut off",
    f"here it is: {S}{S}{S}{S}",
    f"({S}{S}{S}{S}=)",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_hidden_in_a_message(text: str) -> None:
    assert S not in redact(text)
    assert S not in redact(f"before {text} after")
    assert S not in redact(f"before\n{text}\nafter")
    assert redact(f"before {text}").startswith("before ")


KEPT = [
    "call call_019a5f3b2c1d4e5f60718293a4b5c6d7 ended: caller_hangup",
    "event evt_019a5f3b2c1d4e5f60718293a4b5c6d7e8f90a1b2c3d",
    "https://example.org:8443/path?page=2&limit=50",
    "sip:+14155550123@example.org:5060;transport=tls",
    "mail ann@example.org",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "llm_first_token=0.412 tts_first_audio=0.6",
    "max_tokens=512 completion_tokens: 44",
    "openai/gpt-4o-mini failed, left alone for 2.0 s: 503",
    "the token has expired; ask for a new one",
    "there is no key: set OPENAI_API_KEY",
    "status=completed direction=outbound room=bank-3f2a",
    'File "/usr/lib/python3.11/site-packages/Antiphon/voice/agent_session.py", line 12, in run',
    "monkey=banana turkey: yes keyboard=us",
    "antiphon.voice.controllers.silence_watchdog.SilenceWatchdogOptions",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_is_kept(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "A1a" * 50_000,
        "a:" * 50_000,
        "://" * 50_000,
        '"' * 50_000,
        "token=" * 30_000,
        "password='" * 30_000,
        "x@" * 50_000,
        "\\" * 100_000,
    ],
)
@pytest.mark.time_limit(10)
def test_a_long_text_takes_no_time_to_speak_of(text: str) -> None:
    redact(text)


class Log:
    """A logger of its own whose records are read back as JSON."""

    def __init__(self, environment: dict[str, str] | None = None, level: int = logging.INFO) -> None:
        self.stream = io.StringIO()
        self.logger = logging.getLogger(f"test.{id(self)}")
        self.logger.setLevel(level)
        self.logger.propagate = False
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(JSONFormatter())
        handler.addFilter(ContextFields())
        handler.addFilter(Redaction(environment or {}))
        self.logger.addHandler(handler)

    def last(self) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self.stream.getvalue().splitlines()[-1])
        return entry


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("connecting to %s", (f"https://u:{S}@h/",)),
        ("headers %r", ({"Authorization": f"Bearer {S}", "x": 1},)),
        ("api_key=%s", (S,)),
        ("%(password)s and password=%(password)s", ({"password": S + "?"},)),
        ("body %s", (f'{{"client_secret": "{S}"}}'.encode(),)),
    ],
)
def test_arguments_are_redacted_with_their_message(message: str, arguments: tuple[Any, ...]) -> None:
    log = Log()
    log.logger.warning(message, *arguments)
    said = log.last()["message"]
    assert f"={S}" not in said
    assert f"{S}@" not in said
    assert f"Bearer {S}" not in said
    assert f'"{S}"' not in said


def test_fields_are_redacted_however_deep() -> None:
    log = Log()
    with log_fields(call_id="call_1", url=f"https://u:{S}@h/"):
        log.logger.info(
            "x",
            extra={
                "api_key": S,
                "request": {
                    "headers": [{"Authorization": f"Bearer {S}"}],
                    "token": S,
                    "model": "m",
                    "tries": 2,
                },
                "body": f"password={S}".encode(),
                "tokens": 17,
            },
        )
    entry = log.last()
    assert S not in json.dumps(entry)
    assert entry["fields"]["call_id"] == "call_1"
    assert entry["fields"]["request"]["model"] == "m"
    assert entry["fields"]["request"]["tries"] == 2
    assert entry["fields"]["tokens"] == 17


def test_values_of_secret_environment_variables_are_hidden_wherever_they_appear() -> None:
    log = Log(
        {"ANTIPHON_SECRET_KEY": f"{S}new,{S}old", "ELEVEN_API_KEY": "0123456789abcdef", "HOME": "/home/ann"}
    )
    log.logger.warning(
        "got %s and %s in %s", f"x{S}oldx", "0123456789abcdef", "/home/ann", extra={"what": f"{S}new"}
    )
    entry = log.last()
    assert S not in json.dumps(entry)
    assert "0123456789abcdef" not in json.dumps(entry)
    assert "/home/ann" in entry["message"]


def test_an_exception_is_redacted_with_its_causes() -> None:
    log = Log()
    try:
        try:
            raise OSError(f"https://u:{S}@h/ refused")
        except OSError as error:
            raise ProviderError(f"api_key={S}") from error
    except ProviderError:
        log.logger.exception("it failed")
    entry = log.last()
    assert S not in json.dumps(entry)
    assert "test_redaction.py" in entry["exception"]
    assert "refused" in entry["exception"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_words_of_strange_errors_in_calls_are_for_debugging_only(level: int) -> None:
    log = Log(level=level)
    said = ["my mother's maiden name"]
    with log_fields(call_id="call_1"):
        try:
            try:
                int(said[0])
            except ValueError:
                raise ProviderError("the model failed") from None
        except ProviderError:
            log.logger.exception("first")
        try:
            said.index("fluffy")
        except ValueError:
            log.logger.exception("second")
    first, second = (json.loads(line) for line in log.stream.getvalue().splitlines())
    assert "the model failed" in first["exception"]
    assert "ValueError" in second["exception"]
    assert "test_redaction.py" in second["exception"]
    assert ("is not in list" in second["exception"]) == (level == logging.DEBUG)


def test_a_record_with_wrong_arguments_is_not_lost() -> None:
    log = Log()
    log.logger.warning("%s and %s", "one")
    assert "%s and %s" in log.last()["message"]
