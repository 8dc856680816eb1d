"""Session timers: RFC 4028, its table 2 and its sections 7 to 10."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.sip.errors import FieldError
from antiphon.sip.headers import Headers
from antiphon.sip.session_timer import (
    SessionTimer,
    agreed,
    answer,
    read_min_se,
    read_session_expires,
    too_brief,
)


def headers(**fields: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in fields.items())


@pytest.mark.parametrize(
    ("fields", "wanted", "timer", "said", "require"),
    [
        # what the request says                                          ours  agreed                    Session-Expires      Require
        ({}, 0, None, None, False),
        ({}, 1800, None, None, False),
        ({"Supported": "timer"}, 1800, SessionTimer(1800, ours=False), "1800;refresher=uac", True),
        ({"Supported": "timer"}, 0, None, None, False),
        (
            {"Supported": "timer", "Session_Expires": "600"},
            0,
            SessionTimer(600, ours=False),
            "600;refresher=uac",
            True,
        ),
        (
            {"Supported": "timer", "Session_Expires": "600;refresher=uas"},
            0,
            SessionTimer(600, ours=True),
            "600;refresher=uas",
            False,
        ),
        (
            {"Supported": "timer", "Session_Expires": "600;refresher=uac"},
            0,
            SessionTimer(600, ours=False),
            "600;refresher=uac",
            True,
        ),
        ({"Session_Expires": "600"}, 0, SessionTimer(600, ours=True), "600;refresher=uas", False),
        (
            {"Supported": "timer", "Min_SE": "2000"},
            1800,
            SessionTimer(2000, ours=False),
            "2000;refresher=uac",
            True,
        ),
    ],
)
def test_what_a_request_agrees_on(
    fields: dict[str, str], wanted: int, timer: SessionTimer | None, said: str | None, require: bool
) -> None:
    """RFC 4028 section 9, table 2."""
    got, expires, needs = answer(headers(**fields), wanted)
    assert (got, str(expires) if expires else None, needs) == (timer, said, require)


@pytest.mark.parametrize(
    ("fields", "timer"),
    [
        ({"Session_Expires": "600;refresher=uac"}, SessionTimer(600, ours=True)),
        ({"Session_Expires": "600;refresher=uas"}, SessionTimer(600, ours=False)),
        ({}, None),
        ({"Session_Expires": "90;refresher=uas"}, SessionTimer(90, ours=False)),
    ],
)
def test_what_a_response_agrees_on(fields: dict[str, str], timer: SessionTimer | None) -> None:
    """RFC 4028 section 7.2."""
    assert agreed(headers(**fields)) == timer


@pytest.mark.parametrize(("interval", "refresh", "expire"), [(90, 45, 60), (1800, 900, 1768), (120, 60, 88)])
def test_when_to_refresh_and_when_to_give_up(interval: int, refresh: float, expire: float) -> None:
    """RFC 4028 sections 7.2 and 10."""
    timer = SessionTimer(interval, ours=True)
    assert (timer.refresh_after, timer.expire_after) == (refresh, expire)


def test_only_who_knows_timers_is_told_that_an_interval_is_too_brief() -> None:
    """RFC 4028 section 9."""
    assert too_brief(headers(Supported="timer", Session_Expires="60"), 90)
    assert not too_brief(headers(Session_Expires="60"), 90)
    assert not too_brief(headers(Supported="timer", Session_Expires="90"), 90)


@pytest.mark.parametrize("text", ["", "x", "-1", "90;refresher=nobody", "90;"])
def test_malformed_session_expires(text: str) -> None:
    """RFC 4028 section 4."""
    with pytest.raises(FieldError):
        read_session_expires(headers(Session_Expires=text))


def test_compact_form_and_default_minimum() -> None:
    """RFC 4028 sections 4 and 5."""
    found = read_session_expires(Headers([("x", "300 ; refresher = UAC")]))
    assert found is not None
    assert str(found) == "300;refresher=uac"
    assert read_min_se(headers()) == 90
    assert read_min_se(headers(Min_SE="10")) == 90


@given(st.integers(90, 100_000), st.sampled_from(["", ";refresher=uac", ";refresher=uas"]), st.booleans())
def test_exactly_one_side_refreshes(interval: int, refresher: str, knows: bool) -> None:
    """RFC 4028 section 9: both sides draw the same conclusion from the same 2xx."""
    request = headers(Session_Expires=f"{interval}{refresher}", Supported="timer" if knows else "x")
    server, expires, _ = answer(request, 0)
    client = agreed(headers(Session_Expires=str(expires)))
    assert server is not None
    assert client is not None
    assert server.ours is not client.ours
    assert server.interval == client.interval
    assert server.refresh_after < server.expire_after
