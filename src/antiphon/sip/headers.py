"""Header fields: the table of a message, and the typed form of those that the stack reads.

Source: RFC 3261 sections 7.3 and 20; RFC 3581 (`rport`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .errors import FieldError, UnsafeValue
from .grammar import (
    LWS,
    Params,
    check_safe,
    format_params,
    is_quoted,
    is_token,
    parse_host_port,
    parse_number,
    parse_params,
    quote,
    split,
    unquote,
)
from .uri import SipUri, Uri, parse_uri

_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
_USUAL = (
    "Accept", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Authorization", "CSeq",
    "Contact", "Content-Disposition", "Date", "Expires", "Max-Forwards", "Min-Expires", "Min-SE",
    "P-Asserted-Identity", "Privacy", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck",
    "RSeq", "Reason", "Record-Route", "Refer-Sub", "Require", "Retry-After", "Route", "Server",
    "Subscription-State", "Unsupported", "User-Agent", "WWW-Authenticate", "Warning", "Authentication-Info",
)  # fmt: skip
_SPELLING = {name.lower(): name for name in (*_COMPACT.values(), *_USUAL)}


def canonical_name(name: str) -> str:
    """The usual spelling of a header field's name, compact forms written out."""
    lower = name.lower()
    return _COMPACT.get(lower) or _SPELLING.get(lower, name)


class Headers:
    """The header fields of one message, in order; names are compared without case, compact forms are known."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = []
        for name, value in items:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Append a field.

        Raises:
            UnsafeValue: the value holds CR, LF or NUL, or the name is no token.
        """
        if not is_token(name):
            raise UnsafeValue(f"{name!r} is no name of a header field. Use letters, digits and hyphens.")
        self._items.append((canonical_name(name), check_safe(str(value), f"The header {name}")))

    def add_received(self, name: str, value: str) -> None:
        """Append a field as it came from the wire, one line, unfolded."""
        self._items.append((canonical_name(name), value))

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""
        self.add(name, value)
        self._items.insert(0, self._items.pop())

    def set(self, name: str, value: str) -> None:
        """Put one field in the place of all of that name."""
        self.remove(name)
        self.add(name, value)

    def remove(self, name: str) -> None:
        """Take out every field of that name."""
        wanted = canonical_name(name)
        self._items = [item for item in self._items if item[0] != wanted]

    def copy_from(self, other: Headers, *names: str) -> None:
        """Append the other message's fields of these names as they are."""
        wanted = {canonical_name(name) for name in names}
        self._items += [item for item in other._items if item[0] in wanted]

    def replace_first(self, name: str, value: str) -> None:
        """Change the first field of that name where it stands."""
        wanted = canonical_name(name)
        for index, item in enumerate(self._items):
            if item[0] == wanted:
                self._items[index] = (wanted, value)
                return

    def get(self, name: str) -> str | None:
        """The first field's value."""
        wanted = canonical_name(name)
        return next((value for key, value in self._items if key == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name, one a line."""
        wanted = canonical_name(name)
        return [value for key, value in self._items if key == wanted]

    def listed(self, name: str) -> list[str]:
        """The elements of a field that is a list, over all lines; empty elements are left out.

        Raises:
            FieldError: a quote is not closed.
        """
        return [part for line in self.get_all(name) for part in split(line, ",") if part]

    def tokens(self, name: str) -> frozenset[str]:
        """The elements of a list of tokens in lower case, as option tags."""
        return frozenset(
            part.lower() for line in self.get_all(name) for part in line.replace(",", " ").split()
        )

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def copy(self) -> Headers:
        """A table of its own with the same fields."""
        other = Headers()
        other._items = list(self._items)
        return other


# What separates fields and addresses; the rest of what should be quoted, as letters beyond ASCII, is let through.
_NEVER_BARE = frozenset('",;:<>\\')


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address with a display name and parameters: From, To, Contact, Route, Record-Route, Refer-To.

    Attributes:
        display: the text of the display name; empty: none.
        params: of the header field, not of the URI; names in lower case, values as written.
    """

    uri: Uri
    display: str = ""
    params: Params = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The `tag` parameter; empty: none."""
        return self.params.get("tag") or ""

    def with_tag(self, tag: str) -> NameAddr:
        """The same with another tag; an empty one takes it out."""
        params = {name: value for name, value in self.params.items() if name != "tag"}
        if tag:
            params["tag"] = tag
        return NameAddr(self.uri, self.display, params)

    def __str__(self) -> str:
        # Control characters may come in escaped, but do not go out again.
        display = "".join(char if char >= " " else " " for char in self.display)
        display = f"{quote(display)} " if display else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"


def parse_name_addr(text: str, what: str) -> NameAddr:
    """Read `"Name" <uri>;params`, `<uri>;params` or `uri;params`; in the last, parameters are the field's own.

    Raises:
        FieldError: it is none of them; RFC 4475 section 3.1.2 shows how that looks.
    """
    head, *parts = split(text, ";")
    if not head.endswith(">"):
        if "?" in head or "," in head or "<" in head or '"' in head:
            raise FieldError(f"{what} has a URI that belongs in angle brackets")
        return NameAddr(parse_uri(head), "", parse_params(parts, what))
    display, bracket, address = head[:-1].rpartition("<")
    display = display.strip(LWS)
    if not bracket:
        raise FieldError(f"{what} has an angle bracket too many")
    if display.startswith('"'):
        if not is_quoted(display):
            raise FieldError(f"{what} has a malformed display name")
        display = unquote(display)
    elif any(char in _NEVER_BARE or char < " " for char in display):
        raise FieldError(f"{what} has a display name that belongs in quotes")
    return NameAddr(parse_uri(address), display, parse_params(parts, what))


@dataclass(frozen=True, slots=True)
class Via:
    """One hop that a request took.

    Attributes:
        transport: in upper case.
        params: among them `branch`, `received` and `rport`.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    version: str = "2.0"

    @property
    def branch(self) -> str:
        """The transaction's name; empty: none."""
        return self.params.get("branch") or ""

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host in lower case and port, the transport's usual one if none is given."""
        return self.host.lower(), self.port or (5061 if self.transport == "TLS" else 5060)

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/{self.version}/{self.transport} {self.host}{port}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """Read one Via value.

    Raises:
        FieldError: it is malformed.
    """
    head, *parts = split(text, ";")
    pieces = head.split("/", 2)
    if len(pieces) != 3:
        raise FieldError("Via has no protocol, version and transport")
    name, version, rest = (piece.strip(LWS) for piece in pieces)
    transport, _, sent_by = rest.replace("\t", " ").partition(" ")
    if name.upper() != "SIP" or not is_token(version) or not is_token(transport):
        raise FieldError("Via has no protocol, version and transport")
    host, port = parse_host_port(sent_by, "Via")
    return Via(transport.upper(), host, port, parse_params(parts, "Via"), version)


@dataclass(frozen=True, slots=True)
class CSeq:
    """Number and method of a request."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq; its number is below 2**31 (RFC 3261 section 8.1.1.5).

    Raises:
        FieldError: it is malformed.
    """
    parts = text.split()
    if len(parts) != 2 or not is_token(parts[1]):
        raise FieldError("CSeq is not a number and a method")
    return CSeq(parse_number(parts[0], "the number of CSeq", 2**31 - 1), parts[1])


@dataclass(frozen=True, slots=True)
class RAck:
    """Which reliable provisional response a PRACK acknowledges (RFC 3262 section 7.2)."""

    rseq: int
    cseq: int
    method: str


def parse_rack(text: str) -> RAck:
    """Read an RAck.

    Raises:
        FieldError: it is malformed.
    """
    parts = text.split()
    if len(parts) != 3 or not is_token(parts[2]):
        raise FieldError("RAck is not two numbers and a method")
    numbers = [parse_number(part, "a number of RAck", 2**32 - 1) for part in parts[:2]]
    return RAck(numbers[0], numbers[1], parts[2])


def parse_value_and_params(text: str, what: str) -> tuple[str, Params]:
    """Read a value with parameters, as `900;refresher=uas`.

    Raises:
        FieldError: it is malformed.
    """
    value, *parts = split(text, ";")
    return value, parse_params(parts, what)


def contacts(headers: Headers) -> list[NameAddr]:
    """The addresses of Contact; `*` is left out.

    Raises:
        FieldError: one is malformed.
    """
    return [parse_name_addr(text, "Contact") for text in headers.listed("Contact") if text != "*"]


def routes(headers: Headers, name: str) -> list[NameAddr]:
    """The entries of Route or Record-Route, topmost first.

    Raises:
        FieldError: one is malformed.
    """
    entries = [parse_name_addr(text, name) for text in headers.listed(name)]
    if any(not isinstance(entry.uri, SipUri) for entry in entries):
        raise FieldError(f"{name} has a URI that is not sip: or sips:")
    return entries
