"""Trunks as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.calls.document import DocumentRefused, masked, parse, secret_paths
from antiphon.calls.trunk import Trunk
from antiphon.store import catalogue

TRUNK: dict[str, Any] = {"name": "Main line", "address": "sip.example.com"}


def test_a_trunk_needs_a_name_and_an_address_only() -> None:
    trunk = parse(Trunk, TRUNK)
    assert (trunk.service, trunk.port, trunk.max_concurrent, trunk.active) == ("generic", None, None, True)
    assert parse(Trunk, {"name": "Test calls", "provider": "loopback"}).service == "loopback"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": ""}, "address"),
        ({"address": "sip:example.com"}, "address"),
        ({"address": "example.com:5060"}, "address"),
        ({"address": "example.com\r\nX: y"}, "address"),
        ({"provider": "loopback"}, "address"),
        ({"provider": "carrier"}, "provider"),
        ({"from_domain": "a b"}, "from_domain"),
        ({"port": 0}, "port"),
        ({"auth": {"username": "a\r\nb"}}, "auth.username"),
        ({"auth": {"password": "********"}}, "auth.password"),
        ({"numbers": ["98765 43210"]}, "numbers.0"),
        ({"default_region": "XX"}, "default_region"),
        ({"codecs": []}, "codecs"),
        ({"codecs": ["pcma", "pcma"]}, "codecs"),
        ({"codecs": ["mp3"]}, "codecs.0"),
        ({"allowed_sources": ["10.0.0.1/8"]}, "allowed_sources.0"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"calls_per_second": 0}, "calls_per_second"),
        ({"sip_host": "x"}, "sip_host"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentRefused) as caught:
        parse(Trunk, {**TRUNK, **fields})
    problems = {problem.field: problem.message for problem in caught.value.problems}
    assert field in problems
    if fields == {"codecs": []}:
        assert problems["codecs"] == "must not be empty"


def test_its_secrets_are_known_to_the_store_and_never_shown() -> None:
    assert sorted(secret_paths(Trunk)) == sorted(catalogue.TRUNKS.secret)
    trunk = parse(Trunk, {**TRUNK, "auth": {"username": "acme", "password": "hunter2"}})
    assert "hunter2" not in f"{trunk!r} {masked(trunk)}"
    assert masked(trunk)["auth"]["username"] == "acme"
