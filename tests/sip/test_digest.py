"""Digest authentication: RFC 7616 with its examples, RFC 2617, RFC 8760, RFC 3261 section 22."""

from __future__ import annotations

import random

import pytest

from antiphon.sip.digest import (
    Challenge,
    Credentials,
    DigestClient,
    challenges_of,
    digest_response,
    parse_challenge,
)
from antiphon.sip.errors import FieldError
from antiphon.sip.ids import Ids
from antiphon.sip.message import Request, Response
from antiphon.sip.uri import address_uri

MUFASA = Credentials("Mufasa", "Circle of Life")
NONCE, CNONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc7616(algorithm: str, expected: str) -> None:
    """RFC 7616 section 3.9.1."""
    challenge = Challenge("http-auth@example.org", NONCE, algorithm, qop_auth=True, qop_offered=True)
    assert digest_response(challenge, MUFASA, "GET", "/dir/index.html", 1, CNONCE) == expected


def test_the_example_of_rfc2069() -> None:
    """RFC 2617 section 3.2.2.1, without qop."""
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    credentials = Credentials("Mufasa", "CircleOfLife")
    response = digest_response(challenge, credentials, "GET", "/dir/index.html", 1, "")
    assert response == "1949323746fe6a43ef61f9606e7febea"


def response(*challenges: str, status: int = 401) -> Response:
    answer = Response(status)
    for text in challenges:
        answer.headers.add("WWW-Authenticate" if status == 401 else "Proxy-Authenticate", text)
    return answer


def client(realm: str = "") -> DigestClient:
    return DigestClient(Credentials("u", "p", realm), Ids(random.Random(1)))


def request() -> Request:
    return Request("REGISTER", address_uri("sip:example.com"))


def test_a_challenge_is_read() -> None:
    """RFC 7616 section 3.3."""
    challenge = parse_challenge(
        'Digest realm="a, \\"b\\"", qop="auth,auth-int", nonce="x",opaque="", algorithm=SHA-256, stale=TRUE'
    )
    assert (challenge.realm, challenge.nonce, challenge.opaque) == ('a, "b"', "x", "")
    assert challenge.qop_auth
    assert challenge.stale
    assert challenge.usable


@pytest.mark.parametrize(
    "text", ["", "Basic realm=x", "Digest", 'Digest realm="a"', 'Digest realm="a" nonce="b"', "Digest =,="]
)
def test_what_is_no_digest_challenge(text: str) -> None:
    with pytest.raises(FieldError):
        parse_challenge(text)


def test_the_strongest_algorithm_is_answered_and_unknown_ones_are_not() -> None:
    """RFC 8760 section 2.4."""
    found = challenges_of(
        response(
            'Digest realm="r", nonce="1", algorithm=MD5',
            'Digest realm="r", nonce="2", algorithm=SHA-256',
            'Digest realm="r", nonce="3", algorithm=SHA-999',
            'Digest realm="r", nonce="4", qop="auth-int"',
            "Basic realm=x",
        )
    )
    assert [challenge.nonce for challenge in found] == ["2", "1"]
    digest, again = client(), request()
    assert digest.accept(
        response('Digest realm="r", nonce="1"', 'Digest realm="r", nonce="2", algorithm=SHA-256'), request()
    )
    digest.authorize(again)
    assert "algorithm=SHA-256" in (again.headers.get("Authorization") or "")
    assert len(again.headers.get_all("Authorization")) == 1


def test_a_nonce_is_counted() -> None:
    """RFC 7616 section 3.4: nc."""
    digest = client()
    assert digest.accept(response('Digest realm="r", nonce="n", qop="auth"'), request())
    counts = []
    for _ in range(3):
        message = request()
        digest.authorize(message)
        counts.append((message.headers.get("Authorization") or "").partition("nc=")[2][:8])
    assert counts == ["00000001", "00000002", "00000003"]


def test_a_challenge_is_answered_once_unless_it_was_stale() -> None:
    """RFC 3261 section 22.1, RFC 7616 section 3.3 (stale)."""
    digest, sent = client(), request()
    assert digest.accept(response('Digest realm="r", nonce="1"'), sent)
    digest.authorize(sent)
    assert digest.accept(response('Digest realm="r", nonce="2", stale=true'), sent)
    digest.authorize(sent)
    assert not digest.accept(response('Digest realm="r", nonce="3"'), sent)


def test_an_old_nonce_that_ran_out_is_replaced() -> None:
    """RFC 7616 section 3.3: some servers forget to say stale."""
    digest = client()
    assert digest.accept(response('Digest realm="r", nonce="1"'), request())
    first, second = request(), request()
    digest.authorize(first)
    digest.authorize(second)
    assert digest.accept(response('Digest realm="r", nonce="2"'), second)


def test_credentials_go_to_their_realm_only() -> None:
    """Specification, guard rails."""
    assert not client("mine").accept(response('Digest realm="theirs", nonce="1"'), request())
    assert client("mine").accept(response('Digest realm="mine", nonce="1"'), request())


def test_proxy_and_user_challenges_are_answered_side_by_side() -> None:
    """RFC 3261 section 22.3."""
    digest, message = client(), request()
    assert digest.accept(response('Digest realm="proxy", nonce="1"', status=407), message)
    digest.authorize(message)
    assert digest.accept(response('Digest realm="server", nonce="2"'), message)
    digest.authorize(message)
    assert 'realm="proxy"' in (message.headers.get("Proxy-Authorization") or "")
    assert 'realm="server"' in (message.headers.get("Authorization") or "")


def test_the_next_nonce_is_used() -> None:
    """RFC 7616 section 3.5."""
    digest, message = client(), request()
    digest.accept(response('Digest realm="r", nonce="1"'), message)
    ok = Response(200)
    ok.headers.add("Authentication-Info", 'nextnonce="2"')
    digest.take_next_nonce(ok)
    digest.authorize(message)
    assert 'nonce="2"' in (message.headers.get("Authorization") or "")


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("u", "secret"))
