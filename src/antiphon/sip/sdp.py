"""Session descriptions: lenient in, strict out.

Source: RFC 8866 (which replaces RFC 4566); RFC 4568 for `a=crypto`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .errors import SdpError

MAX_LINES = 500
_MEDIA_LINE = re.compile(r"([A-Za-z0-9.+\-]+)\s+(\d{1,5})(?:/\d+)?\s+([A-Za-z0-9/]+)((?:\s+\S+)*)\s*\Z")
_RTPMAP = re.compile(r"(\d{1,3})\s+([A-Za-z0-9.\-_]+)/(\d{1,6})(?:/(\d{1,2}))?\s*\Z")
_CRYPTO = re.compile(r"(\d{1,9})\s+([A-Za-z0-9_]+)\s+inline:([A-Za-z0-9+/=]+)((?:\|\S*)?)(.*)\Z")
_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 13: ("CN", 8000), 18: ("G729", 8000)}


class Direction(StrEnum):
    """Which way media flows, from the side of whoever says so."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the speaker means to send."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the speaker is ready to receive."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def mirrored(self) -> Direction:
        """The same from the other side (RFC 3264 section 6.1)."""
        return direction(sends=self.receives, receives=self.sends)


def direction(*, sends: bool, receives: bool) -> Direction:
    """The direction with these two properties."""
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


@dataclass(frozen=True, slots=True)
class RtpMap:
    """What a payload type stands for; `name` in upper case."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Crypto:
    """An `a=crypto` line (RFC 4568 section 9.1).

    Attributes:
        key: master key and salt in base64.
        session_params: whatever followed, unread.
    """

    tag: int
    suite: str
    key: str
    lifetime_and_mki: str = ""
    session_params: str = ""

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{self.key}"


Attribute = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` section.

    Attributes:
        address: of its own `c=` line; empty: that of the session holds.
        port: 0: refused or over.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    address: str = ""
    attributes: tuple[Attribute, ...] = ()

    def values(self, name: str) -> list[str]:
        """The values of all attributes of that name."""
        return [value for key, value in self.attributes if key == name and value is not None]

    def has(self, name: str) -> bool:
        """Whether there is such an attribute."""
        return any(key == name for key, _ in self.attributes)

    @property
    def own_direction(self) -> Direction | None:
        """The direction that this section states itself."""
        return _direction_in(self.attributes)

    @property
    def payload_types(self) -> list[RtpMap]:
        """The payload types of the `m=` line in its order, with what they stand for; unknown static ones are left out."""
        named = {
            int(match[1]): RtpMap(int(match[1]), match[2].upper(), int(match[3]), int(match[4] or 1))
            for match in map(_RTPMAP.match, self.values("rtpmap"))
            if match and int(match[3]) > 0
        }
        known: list[RtpMap] = []
        for text in self.formats:
            if not (text.isascii() and text.isdigit()) or int(text) > 127:
                continue
            number = int(text)
            if number in named:
                known.append(named[number])
            elif number in _STATIC:
                known.append(RtpMap(number, *_STATIC[number]))
        return known

    def format_parameters(self, payload_type: int) -> str:
        """The `a=fmtp` of a payload type; empty: none."""
        for value in self.values("fmtp"):
            number, _, text = value.partition(" ")
            if number == str(payload_type):
                return text.strip()
        return ""

    @property
    def ptime(self) -> int | None:
        """Milliseconds a packet that the speaker wants to receive."""
        return self._milliseconds("ptime")

    @property
    def maxptime(self) -> int | None:
        """Milliseconds a packet that the speaker receives at most."""
        return self._milliseconds("maxptime")

    def _milliseconds(self, name: str) -> int | None:
        for value in self.values(name):
            if value.strip().isascii() and value.strip().isdigit() and 5 <= int(value) <= 200:
                return int(value)
        return None

    @property
    def cryptos(self) -> list[Crypto]:
        """The `a=crypto` lines that can be read."""
        matches = map(_CRYPTO.match, self.values("crypto"))
        return [Crypto(int(m[1]), m[2].upper(), m[3], m[4], m[5].strip()) for m in matches if m]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description.

    Attributes:
        origin: user name, session id, version, network type, address type and address of `o=`.
        address: of the session's `c=` line; empty: none.
    """

    origin: str = "- 0 0 IN IP4 127.0.0.1"
    name: str = "-"
    address: str = ""
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = field(default=())

    def address_of(self, media: MediaDescription) -> str:
        """Where a section's packets go."""
        return media.address or self.address

    def direction_of(self, media: MediaDescription) -> Direction:
        """A section's direction: its own, else the session's, else `sendrecv` (RFC 8866 section 6.7)."""
        return media.own_direction or _direction_in(self.attributes) or Direction.SENDRECV

    def to_bytes(self) -> bytes:
        """The description as it goes out."""
        lines = ["v=0", f"o={self.origin}", f"s={self.name}"]
        if self.address:
            lines.append(f"c=IN {_address_type(self.address)} {self.address}")
        lines.append("t=0 0")
        lines += map(_attribute_line, self.attributes)
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
            if media.address:
                lines.append(f"c=IN {_address_type(media.address)} {media.address}")
            lines += map(_attribute_line, media.attributes)
        if any("\r" in line or "\n" in line for line in lines):
            raise SdpError("a session description of ours holds a line break")
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def _address_type(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _attribute_line(attribute: Attribute) -> str:
    name, value = attribute
    return f"a={name}" if value is None else f"a={name}:{value}"


def _direction_in(attributes: tuple[Attribute, ...]) -> Direction | None:
    for name, value in attributes:
        if value is None and name in ("sendrecv", "sendonly", "recvonly", "inactive"):
            return Direction(name)
    return None


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description. Unknown lines are passed over; `o=`, `s=` and `t=`, which decide nothing here, may be missing or odd.

    Raises:
        SdpError: there is no `v=0`, or a `c=` or `m=` line is malformed.
    """
    lines = (
        body.lstrip(b"\r\n")
        .decode("utf-8", "surrogateescape")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    )
    if len(lines) > MAX_LINES:
        raise SdpError(f"a session description has more than {MAX_LINES} lines")
    if not lines[0].rstrip() == "v=0":
        raise SdpError("a session description does not begin with v=0")
    session = SessionDescription()
    media: list[MediaDescription] = []
    for line in lines[1:]:
        kind, equals, value = line.partition("=")
        value = value.strip()
        if not equals or len(kind) != 1:
            continue
        match kind:
            case "o":
                session = replace(session, origin=value)
            case "s":
                session = replace(session, name=value or "-")
            case "c" if media:
                media[-1] = replace(media[-1], address=_read_address(value))
            case "c":
                session = replace(session, address=_read_address(value))
            case "m":
                media.append(_read_media(value))
            case "a" if media:
                media[-1] = replace(media[-1], attributes=(*media[-1].attributes, _read_attribute(value)))
            case "a":
                session = replace(session, attributes=(*session.attributes, _read_attribute(value)))
    for section in media:
        if section.port and not (section.address or session.address):
            raise SdpError("a session description says nowhere where media goes")
    return replace(session, media=tuple(media))


def _read_address(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SdpError("a c= line of a session description is malformed")
    return parts[2].partition("/")[0]


def _read_media(value: str) -> MediaDescription:
    match = _MEDIA_LINE.match(value)
    if match is None or int(match[2]) > 65535:
        raise SdpError("an m= line of a session description is malformed")
    return MediaDescription(match[1].lower(), int(match[2]), match[3].upper(), tuple(match[4].split()))


def _read_attribute(value: str) -> Attribute:
    name, colon, text = value.partition(":")
    return name.strip(), text.strip() if colon else None
