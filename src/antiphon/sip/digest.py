"""Digest authentication: answering the challenges of registrars and proxies.

Source: RFC 3261 section 22; RFC 7616 and RFC 8760 (SHA-256, `qop`, `stale`, several challenges); RFC 2617 where there is no `qop`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from .errors import FieldError
from .grammar import quote, unquote
from .ids import Ids
from .message import Request, Response

# Strongest first (RFC 8760 section 2.4).
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}
_PAIR = re.compile(r'\s*([A-Za-z0-9\-_]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)\s*(?:,|\Z)')
_FIELDS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password of one trunk.

    Attributes:
        realm: the only one they are sent to; empty: whichever the trunk's own server names.
    """

    username: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One `Digest` challenge."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    opaque: str | None = None
    qop_auth: bool = False
    qop_offered: bool = False
    stale: bool = False
    header: str = "Authorization"

    @property
    def usable(self) -> bool:
        """Whether it is of a kind that can be answered here."""
        return self.algorithm.upper().removesuffix("-SESS") in _HASHES and (
            self.qop_auth or not self.qop_offered
        )


def parse_challenge(text: str, header: str = "Authorization") -> Challenge:
    """Read the value of WWW-Authenticate or Proxy-Authenticate.

    Args:
        header: the name of the field that answers it.

    Raises:
        FieldError: it is no Digest challenge, or has no realm or nonce.
    """
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise FieldError(f"the authentication scheme {scheme!r} is not known")
    values: dict[str, str] = {}
    position = 0
    while position < len(rest):
        match = _PAIR.match(rest, position)
        if match is None or match.end() == position:
            raise FieldError("a challenge is malformed")
        values.setdefault(match[1].lower(), unquote(match[2]))
        position = match.end()
    if "realm" not in values or not values.get("nonce"):
        raise FieldError("a challenge has no realm or nonce")
    offered = values.get("qop", "").lower().replace(",", " ").split()
    return Challenge(
        realm=values["realm"],
        nonce=values["nonce"],
        algorithm=values.get("algorithm") or "MD5",
        opaque=values.get("opaque"),
        qop_auth="auth" in offered,
        qop_offered=bool(offered),
        stale=values.get("stale", "").lower() == "true",
        header=header,
    )


def challenges_of(response: Response) -> list[Challenge]:
    """The challenges of a 401 or 407 that can be answered, the strongest of each realm first."""
    asking, answering = _FIELDS[response.status]
    found: list[Challenge] = []
    for text in response.headers.get_all(asking):
        try:
            challenge = parse_challenge(text, answering)
        except FieldError:
            continue
        if challenge.usable:
            found.append(challenge)
    ranks = list(_HASHES)
    found.sort(key=lambda one: ranks.index(one.algorithm.upper().removesuffix("-SESS")))
    return found


def _hash(algorithm: str, text: str) -> str:
    name = _HASHES[algorithm.upper().removesuffix("-SESS")]
    return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def digest_response(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, count: int, cnonce: str
) -> str:
    """The `response` value (RFC 7616 section 3.4.1).

    Args:
        count: how often the nonce was used, this time included.
    """
    secret = _hash(challenge.algorithm, f"{credentials.username}:{challenge.realm}:{credentials.password}")
    if challenge.algorithm.upper().endswith("-SESS"):
        secret = _hash(challenge.algorithm, f"{secret}:{challenge.nonce}:{cnonce}")
    request = _hash(challenge.algorithm, f"{method}:{uri}")
    middle = f"{challenge.nonce}:{count:08x}:{cnonce}:auth" if challenge.qop_auth else challenge.nonce
    return _hash(challenge.algorithm, f"{secret}:{middle}:{request}")


class DigestClient:
    """What was learned of one trunk's challenges on one call or registration: nonces are used again and counted."""

    def __init__(self, credentials: Credentials, ids: Ids) -> None:
        self._credentials = credentials
        self._ids = ids
        self._challenges: dict[tuple[str, str], Challenge] = {}
        self._counts: dict[str, int] = {}

    def accept(self, response: Response, sent: Request) -> bool:
        """Take the challenge of a 401 or 407; False: answering it, again, would be of no use.

        A challenge is answered once. Another for the same realm is taken only if it says that the nonce was stale, or if the
        refused request carried none or a nonce of an earlier request.
        """
        realms: set[str] = set()
        taken = False
        for challenge in challenges_of(response):
            if challenge.realm in realms or self._credentials.realm not in ("", challenge.realm):
                continue
            realms.add(challenge.realm)
            used = self._nonce_in(sent, challenge)
            if used and not challenge.stale and self._counts.get(used, 0) <= 1:
                return False  # The first use of a fresh nonce was refused: the password is wrong.
            if used == challenge.nonce and not challenge.stale:
                return False
            self._challenges[challenge.header, challenge.realm] = challenge
            taken = True
        return taken

    def _nonce_in(self, sent: Request, challenge: Challenge) -> str:
        for text in sent.headers.get_all(challenge.header):
            try:
                answered = parse_challenge(text)
            except FieldError:
                continue
            if answered.realm == challenge.realm:
                return answered.nonce
        return ""

    def authorize(self, request: Request) -> None:
        """Put in what the challenges so far ask for, in place of what an earlier try carried."""
        request.headers.remove("Authorization")
        request.headers.remove("Proxy-Authorization")
        for (header, _), challenge in self._challenges.items():
            count = self._counts.get(challenge.nonce, 0) + 1
            if len(self._counts) > 64:
                self._counts.clear()
            self._counts[challenge.nonce] = count
            request.headers.add(header, self._value(challenge, request, count))

    def _value(self, challenge: Challenge, request: Request, count: int) -> str:
        uri, cnonce = str(request.uri), self._ids.cnonce()
        response = digest_response(challenge, self._credentials, request.method, uri, count, cnonce)
        parts = [
            f"username={quote(self._credentials.username)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(uri)}",
            f'response="{response}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.qop_auth:
            parts += [f'cnonce="{cnonce}"', "qop=auth", f"nc={count:08x}"]
        elif challenge.algorithm.upper().endswith("-SESS"):
            parts.append(f'cnonce="{cnonce}"')
        if challenge.opaque is not None:
            parts.append(f"opaque={quote(challenge.opaque)}")
        return "Digest " + ", ".join(parts)

    def take_next_nonce(self, response: Response) -> None:
        """Use the nonce that Authentication-Info names from now on (RFC 7616 section 3.5)."""
        text = response.headers.get("Authentication-Info") or ""
        match = re.search(r'nextnonce="([^"\\]+)"', text)
        if match:
            for key, challenge in self._challenges.items():
                if key[0] == "Authorization":
                    self._challenges[key] = Challenge(
                        challenge.realm,
                        match[1],
                        challenge.algorithm,
                        challenge.opaque,
                        challenge.qop_auth,
                        challenge.qop_offered,
                        header=challenge.header,
                    )
