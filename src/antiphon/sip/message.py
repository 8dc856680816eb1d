"""Requests and responses, to and from the wire: lenient in, strict out.

The parser works on octets, in linear time, within limits: a message of 64 KiB, 100 header lines, 8 KiB a line. It tells three
things apart: what is no SIP and is dropped (`ParseError`), a request with a fault that is answered (`BadRequest`), and
messages. Whether a well-formed request makes sense is the matter of `request_checks.py`.

Source: RFC 3261 sections 7, 18.3 and 25.1; the examples of RFC 4475.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import BadRequest, FieldError, ParseError
from .grammar import is_token, parse_number
from .headers import (
    CSeq,
    Headers,
    NameAddr,
    Via,
    contacts,
    parse_cseq,
    parse_name_addr,
    parse_via,
    routes,
)
from .status import reason_phrase
from .uri import OtherUri, SipUri, Uri, parse_uri

MAX_MESSAGE = 65_536
MAX_HEADERS = 100
MAX_LINE = 8_192

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
_LOOKS_LIKE_REQUEST = re.compile(r"([^\s]+)\s.*\sSIP/(\d+\.\d+)\s*\Z", re.IGNORECASE | re.DOTALL)
_VERSION = re.compile(r"SIP/\d+\.\d+\Z", re.IGNORECASE)
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z")
_LIMITS = {"Max-Forwards": 255, "Expires": 2**32 - 1, "Min-Expires": 2**32 - 1, "RSeq": 2**32 - 1}


@dataclass(slots=True)
class Request:
    """A request. `headers` holds every field as text; the properties read those that each request has."""

    method: str
    uri: Uri
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return _top_via(self.headers)

    @property
    def from_(self) -> NameAddr:
        """Who sent it."""
        return parse_name_addr(self.headers.get("From") or "", "From")

    @property
    def to(self) -> NameAddr:
        """Whom it is for."""
        return parse_name_addr(self.headers.get("To") or "", "To")

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.headers.get("Call-ID") or ""

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        return parse_cseq(self.headers.get("CSeq") or "")

    def to_bytes(self) -> bytes:
        """The request as it goes out."""
        return _serialise(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)

    def copy(self) -> Request:
        """The same with a table of header fields of its own."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)


@dataclass(slots=True)
class Response:
    """A response. `headers` holds every field as text."""

    status: int
    reason: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return _top_via(self.headers)

    @property
    def from_(self) -> NameAddr:
        """Who sent the request."""
        return parse_name_addr(self.headers.get("From") or "", "From")

    @property
    def to(self) -> NameAddr:
        """Whom the request was for."""
        return parse_name_addr(self.headers.get("To") or "", "To")

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.headers.get("Call-ID") or ""

    @property
    def cseq(self) -> CSeq:
        """The CSeq of the request."""
        return parse_cseq(self.headers.get("CSeq") or "")

    def to_bytes(self) -> bytes:
        """The response as it goes out."""
        return _serialise(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)


Message = Request | Response


def _top_via(headers: Headers) -> Via:
    values = headers.listed("Via")
    if not values:
        raise FieldError("there is no Via")
    return parse_via(values[0])


def _serialise(start_line: str, headers: Headers, body: bytes) -> bytes:
    lines = [start_line]
    lines += [f"{name}: {value}" for name, value in headers if name != "Content-Length"]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def make_response(request: Request, status: int, reason: str = "", *, to_tag: str = "") -> Response:
    """A response with the fields that RFC 3261 section 8.2.6.2 has copied from the request.

    Args:
        to_tag: put into To if the request has none there.
    """
    response = Response(status, reason or reason_phrase(status))
    response.headers.copy_from(request.headers, "Via")
    response.headers.copy_from(request.headers, "From")
    to = request.headers.get("To")
    if to is not None:
        response.headers.add_received("To", f"{to};tag={to_tag}" if to_tag and not _has_tag(to) else to)
    response.headers.copy_from(request.headers, "Call-ID")
    response.headers.copy_from(request.headers, "CSeq")
    if status == 100:
        response.headers.copy_from(request.headers, "Timestamp")
    if request.method == "INVITE" and 100 < status < 300:
        response.headers.copy_from(request.headers, "Record-Route")
    return response


def _has_tag(to: str) -> bool:
    try:
        return bool(parse_name_addr(to, "To").tag)
    except FieldError:
        return True


def parse_message(data: bytes, *, stream: bool = False) -> Message:
    """Read one datagram, or one message that a stream framer cut out.

    Args:
        data: in a datagram, octets behind the end that Content-Length names are ignored (RFC 3261 section 18.3).
        stream: a message without Content-Length has no body.

    Raises:
        ParseError: drop it.
        BadRequest: answer it with the error's status; never if it is an ACK.
    """
    if len(data) > MAX_MESSAGE:
        raise ParseError(f"the message has {len(data)} octets; the limit is {MAX_MESSAGE}")
    data = data.lstrip(b"\r\n")
    end = _END_OF_HEADERS.search(data)
    head, rest = (data[: end.start()], data[end.end() :]) if end else (data.rstrip(b"\r\n"), b"")
    lines = _unfold(head)
    start_line = lines.pop(0)
    headers, fault = _read_headers(lines)
    if start_line[:8].upper().startswith("SIP/") and _VERSION.match(start_line.partition(" ")[0]):
        message: Message = _read_status_line(start_line, headers)
    else:
        message, start_fault = _read_request_line(start_line, headers)
        fault = start_fault or fault
    message.body, body_fault = _read_body(headers, rest, stream)
    fault = fault or body_fault or _field_fault(message)
    if fault is None:
        return message
    status, text = fault
    if isinstance(message, Response):
        raise ParseError(f"a response is malformed: {text}")
    if any(name not in headers for name in ("Via", "From", "To", "Call-ID", "CSeq")):
        raise ParseError(f"a request is malformed and has too little to be answered: {text}")
    raise BadRequest(status, text, message)


Fault = tuple[int, str]


def _unfold(head: bytes) -> list[str]:
    """The lines of start line and header, continued lines joined by one space (RFC 3261 section 7.3.1)."""
    raw = head.replace(b"\r\n", b"\n").split(b"\n")
    if len(raw) > MAX_HEADERS * 4:
        raise ParseError("the header has too many lines")
    lines: list[bytes] = []
    for line in raw:
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] = lines[-1].rstrip(b" \t") + b" " + line.strip(b" \t")
        else:
            lines.append(line)
        if len(lines[-1]) > MAX_LINE:
            raise ParseError(f"a header line has more than {MAX_LINE} octets")
    if len(lines) > MAX_HEADERS + 1:
        raise ParseError(f"the header has more than {MAX_HEADERS} fields")
    if b"\r" in head.replace(b"\r\n", b""):
        raise ParseError("a header line holds a carriage return")
    return [line.decode("utf-8", "surrogateescape") for line in lines]


def _read_headers(lines: list[str]) -> tuple[Headers, Fault | None]:
    headers, fault = Headers(), None
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not is_token(name):
            fault = fault or (400, "a header line has no name")
        elif "\0" in value.replace("\\\0", ""):
            fault = fault or (400, "a header line holds NUL")
        else:
            headers.add_received(name, value.strip(" \t"))
    return headers, fault


def _read_status_line(line: str, headers: Headers) -> Response:
    match = _STATUS_LINE.match(line)
    if match is None:
        raise ParseError("the status line is malformed")
    return Response(int(match[1]), match[2] or "", headers)


def _read_request_line(line: str, headers: Headers) -> tuple[Request, Fault | None]:
    """RFC 3261 section 7.1: three parts with one space between them, and nothing behind."""
    likely = _LOOKS_LIKE_REQUEST.match(line)
    if likely is None or not is_token(likely[1]):
        raise ParseError("the first line is none of SIP")
    request = Request(likely[1], OtherUri("invalid", "malformed"), headers)
    if likely[2] != "2.0":
        return request, (505, "only SIP/2.0 is spoken here")
    parts = line.split(" ")
    if len(parts) != 3:
        return request, (400, "the request line does not have three parts with one space between them")
    try:
        request.uri = parse_uri(parts[1])
    except FieldError as error:
        return request, (400, f"the Request-URI: {error}")
    if isinstance(request.uri, SipUri) and request.uri.headers:
        return request, (400, "the Request-URI carries header fields")
    return request, None


def _read_body(headers: Headers, rest: bytes, stream: bool) -> tuple[bytes, Fault | None]:
    lengths = headers.get_all("Content-Length")
    if not lengths:
        return (b"" if stream else rest), None
    try:
        length = parse_number(lengths[0], "Content-Length", MAX_MESSAGE)
    except FieldError as error:
        return b"", (400, str(error))
    if length > len(rest):
        return b"", (400, "the body is shorter than Content-Length says")
    return rest[:length], None


def _field_fault(message: Message) -> Fault | None:
    """The first header field that is there but does not follow its grammar."""
    headers = message.headers
    try:
        vias = headers.listed("Via")
        if "Via" in headers and not vias:
            return 400, "Via is empty"
        for text in vias:
            parse_via(text)
        for name in ("From", "To"):
            if (value := headers.get(name)) is not None:
                parse_name_addr(value, name)
        contacts(headers)
        routes(headers, "Route")
        routes(headers, "Record-Route")
        if (value := headers.get("CSeq")) is not None:
            method = parse_cseq(value).method
            if isinstance(message, Request) and method != message.method:
                return 400, "CSeq names another method than the request line"
        for name, limit in _LIMITS.items():
            if (value := headers.get(name)) is not None:
                parse_number(value, name, limit)
        if (value := headers.get("Date")) is not None and not _DATE.match(value):
            return 400, "Date is not in Greenwich mean time as RFC 3261 has it"
        if (value := headers.get("Call-ID")) is not None and (not value or " " in value):
            return 400, "Call-ID is malformed"
    except FieldError as error:
        return 400, str(error)
    return None
