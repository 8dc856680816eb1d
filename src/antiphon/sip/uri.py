"""Addresses: `sip:` and `sips:` URIs in their parts, every other scheme as it stands.

Source: RFC 3261 sections 19.1 and 25.1; RFC 3966 for `tel:`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from .errors import FieldError, UnsafeValue
from .grammar import Params, check_safe, parse_host_port

# The octets of RFC 3261's `user`, `password`, parameters and headers; and `#`, which telephones send unescaped, and `=`, which
# proxies put into the values of their own parameters.
_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%#\[\]]*\Z")
_PASSWORD = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,%:]*\Z")
_PARAM = re.compile(r"[A-Za-z0-9\-_.!~*'()\[\]/:&+$%`#=]+\Z")
_HEADERS = re.compile(r"[A-Za-z0-9\-_.!~*'()\[\]/?:+$%&=]*\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):(.+)\Z", re.DOTALL)
_OTHER = re.compile(r"[^\s<>\"\x00-\x20]+\Z")
_USER_SAFE = "-_.!~*'()&=+$,;?/"


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` or `sips:` URI.

    Attributes:
        user: as written, escapes and all; None: there is none. `number` is the same without escapes.
        params: names in lower case.
        headers: what follows `?`, as written.
    """

    host: str
    user: str | None = None
    port: int | None = None
    scheme: str = "sip"
    password: str | None = None
    params: Params = field(default_factory=dict)
    headers: str = ""

    @property
    def number(self) -> str:
        """The user part without escapes and without its own parameters, as in `+4930123;phone-context=…`."""
        return percent_decode(self.user or "").partition(";")[0]

    @property
    def transport(self) -> str:
        """`UDP`, `TCP`, `TLS`, …, as the URI asks for it; empty: it does not say."""
        wanted = (self.params.get("transport") or "").upper()
        if self.scheme == "sips":
            return "TLS" if wanted in ("", "TCP", "TLS") else wanted
        return wanted

    @property
    def is_loose_router(self) -> bool:
        """Whether the URI has the `lr` parameter (RFC 3261 section 19.1.1)."""
        return "lr" in self.params

    def __str__(self) -> str:
        credentials = ""
        if self.user is not None:
            credentials = self.user + (f":{self.password}" if self.password is not None else "") + "@"
        port = f":{self.port}" if self.port is not None else ""
        params = "".join(f";{n}" if v is None else f";{n}={v}" for n, v in self.params.items())
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{credentials}{self.host}{port}{params}{headers}"

    def same_as(self, other: object) -> bool:
        """Whether both name the same resource (RFC 3261 section 19.1.4)."""
        if not isinstance(other, SipUri):
            return False
        if (self.scheme, self.host.lower(), self.port) != (other.scheme, other.host.lower(), other.port):
            return False
        if percent_decode(self.user or "") != percent_decode(other.user or ""):
            return False
        special = {"user", "ttl", "method", "maddr", "transport"}
        names = {*self.params, *other.params}
        return all(
            _lower(self.params.get(name)) == _lower(other.params.get(name))
            for name in names
            if name in special or (name in self.params and name in other.params)
        )


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of another scheme, as `tel:+4930123`."""

    scheme: str
    rest: str

    @property
    def number(self) -> str:
        """What a `tel:` URI dials, without its parameters; of other schemes the whole."""
        return percent_decode(self.rest).partition(";")[0]

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | OtherUri


def parse_uri(text: str) -> Uri:
    """Read a URI that stands by itself, without spaces or angle brackets.

    Raises:
        FieldError: it is none.
    """
    match = _SCHEME.match(text)
    if match is None or not _OTHER.match(text):
        raise FieldError("a URI is malformed")
    scheme, rest = match[1].lower(), match[2]
    if scheme not in ("sip", "sips"):
        return OtherUri(scheme, rest)
    user: str | None = None
    password: str | None = None
    credentials, at, remainder = rest.partition("@")
    if at:
        user, colon, secret = credentials.partition(":")
        password = secret if colon else None
        if not user or not _USER.match(user) or not _PASSWORD.match(password or ""):
            # The user part may hold a colon behind characters that are not allowed in a password.
            raise FieldError("the user part of a URI is malformed")
    else:
        remainder = rest
    remainder, _, headers = remainder.partition("?")
    if not _HEADERS.match(headers):
        raise FieldError("the headers of a URI are malformed")
    host_port, *parts = remainder.split(";")
    host, port = parse_host_port(host_port, "a URI")
    params: Params = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not _PARAM.match(name) or (equals and not _PARAM.match(value)):
            raise FieldError("a parameter of a URI is malformed")
        params.setdefault(name.lower(), value if equals else None)
    return SipUri(host, user, port, scheme, password, params, headers)


def user_uri(user: str, host: str, port: int | None = None, **params: str) -> SipUri:
    """An address from parts that people or other systems supplied; what is not allowed in a user part is escaped.

    Raises:
        UnsafeValue: a part holds a line break, or the host is none.
    """
    check_safe(user, "The user part of an address")
    check_safe(host, "The host of an address")
    try:
        parsed, own_port = parse_host_port(host, "the address")
    except FieldError as error:
        raise UnsafeValue(f"{host!r} is no host name or IP address: {error}.") from None
    encoded = percent_encode(user, safe=_USER_SAFE) if user else None
    return SipUri(parsed, encoded, port if port is not None else own_port, params=dict(params))


def address_uri(text: str) -> Uri:
    """An address that a person or another system supplied, as `sip:bank@example.com` or `tel:+4930123`.

    Raises:
        UnsafeValue: it is none, or holds line breaks or header fields.
    """
    check_safe(text, "An address")
    try:
        uri = parse_uri(text.strip())
    except FieldError as error:
        raise UnsafeValue(f"{text!r} is no SIP or telephone address: {error}.") from None
    if isinstance(uri, SipUri) and uri.headers:
        raise UnsafeValue(f"{text!r} carries header fields behind '?'. Leave them out.")
    return uri
