"""Whether a well-formed request makes sense, and what to answer if it does not.

Source: RFC 3261 section 8.2; RFC 4475 section 3.3 for how such requests look.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import FieldError
from .message import Request
from .stack import ACCEPTED_BODIES, EXTENSIONS, UserAgentOptions
from .uri import OtherUri

_ONCE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")
_SCHEMES = ("sip", "sips", "tel")
_BODIES = {
    "INVITE": ("application/sdp", "multipart/mixed", "multipart/alternative", "multipart/related"),
    "UPDATE": ("application/sdp", "multipart/mixed"),
    "PRACK": ("application/sdp", "multipart/mixed"),
    "INFO": ("application/dtmf-relay", "application/dtmf"),
    "NOTIFY": ("message/sipfrag",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A final response that a request gets instead of being carried out."""

    status: int
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def is_answerable(request: Request) -> bool:
    """Whether a request has what a response repeats and a transaction needs."""
    return all(name in request.headers for name in ("Via", "From", "To", "Call-ID", "CSeq"))


def find_fault(request: Request, options: UserAgentOptions, *, in_dialog: bool) -> Fault | None:
    """The first thing that is wrong with a request (RFC 3261 sections 8.2.1 to 8.2.3); not for ACK and CANCEL."""
    for name in _ONCE:
        if len(request.headers.get_all(name)) > 1:
            return Fault(400, f"More than one {name}")
    if len(set(request.headers.get_all("Content-Length"))) > 1:
        return Fault(400, "More than one Content-Length")
    if request.method not in options.methods:
        # A REFER that is known but not wanted is declined rather than unknown.
        if request.method == "REFER" and in_dialog:
            return Fault(603)
        return Fault(405, headers={"Allow": ", ".join(options.methods)})
    if isinstance(request.uri, OtherUri) and request.uri.scheme not in _SCHEMES:
        return Fault(416)
    if request.method == "INVITE" and not _takes_descriptions(request):
        return Fault(406)
    unknown = request.headers.tokens("Require") - set(EXTENSIONS)
    if unknown:
        return Fault(420, headers={"Unsupported": ", ".join(sorted(unknown))})
    return _body_fault(request)


def _takes_descriptions(request: Request) -> bool:
    """Whether the peer understands the description that our answer carries (RFC 3261 section 20.1; RFC 4475 section 3.3.15)."""
    if "Accept" not in request.headers:
        return True
    ranges = ",".join(request.headers.get_all("Accept")).split(",")
    kinds = {text.partition(";")[0].strip().lower() for text in ranges}
    return bool(kinds & {"application/sdp", "application/*", "*/*"})


def _body_fault(request: Request) -> Fault | None:
    if not request.body:
        return None
    if request.headers.tokens("Content-Encoding") - {"identity"}:
        return Fault(415, headers={"Accept": ACCEPTED_BODIES, "Accept-Encoding": "identity"})
    kind = content_type(request)
    optional = (
        "handling=optional" in (request.headers.get("Content-Disposition") or "").replace(" ", "").lower()
    )
    if request.method in _BODIES and kind not in _BODIES[request.method] and not optional:
        return Fault(415, headers={"Accept": ACCEPTED_BODIES})
    return None


def content_type(message: Request) -> str:
    """The media type of the body in lower case, without parameters."""
    return (message.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def session_body(content: str, body: bytes) -> bytes:
    """The session description in a body; empty: there is none.

    Args:
        content: the Content-Type. In a multipart body the first description counts (RFC 5621 section 3.1).

    Raises:
        FieldError: a multipart body is malformed.
    """
    kind, _, rest = content.partition(";")
    kind = kind.strip().lower()
    if kind == "application/sdp":
        return body
    if not kind.startswith("multipart/"):
        return b""
    boundary = next(
        (
            part.partition("=")[2].strip().strip('"')
            for part in rest.split(";")
            if part.strip().lower().startswith("boundary=")
        ),
        "",
    )
    if not boundary or len(boundary) > 70:
        raise FieldError("a multipart body has no boundary")
    for part in body.split(b"--" + boundary.encode("utf-8", "surrogateescape"))[1:]:
        head, gap, text = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if gap and b"application/sdp" in head.lower():
            return text
    return b""
