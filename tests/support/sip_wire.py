"""A user agent on a virtual clock, and a peer that is written out message by message."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from antiphon.sip.effects import Avoid, CancelTimer, Effect, Report, Send, SetTimer, Source, TimerKey
from antiphon.sip.errors import ParseError
from antiphon.sip.ids import Ids
from antiphon.sip.message import Message, Request, Response, parse_message
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.stack import UserAgentOptions
from antiphon.sip.user_agent import UserAgent

HERE = {"UDP": ("192.0.2.1", 5060), "TCP": ("192.0.2.1", 5060)}
PEER = "192.0.2.9"
MEDIA = LocalMedia("192.0.2.1", 20000)


def sdp(
    *,
    direction: str = "",
    address: str = PEER,
    port: int = 30000,
    formats: str = "0 8 101",
    protocol: str = "RTP/AVP",
    version: int = 1,
    session: str = "",
    extra: str = "",
) -> bytes:
    """A peer's description."""
    text = f"v=0\r\no=peer 7 {version} IN IP4 {PEER}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    text += f"a={session}\r\n" if session else ""
    text += f"m=audio {port} {protocol} {formats}\r\na=rtpmap:101 telephone-event/8000\r\n{extra}"
    text += f"a={direction}\r\n" if direction else ""
    return text.encode()


@dataclass
class Wire:
    """Carries out the effects of one user agent; what it sends and reports is kept with its time."""

    options: dict[str, Any] = field(default_factory=dict)
    now: float = 0.0
    transport: str = "UDP"
    seed: int = 1

    def __post_init__(self) -> None:
        options = UserAgentOptions(HERE, **{"session_expires": 0, **self.options})
        self.ua = UserAgent(options, Ids(random.Random(self.seed)))
        self.sent: list[tuple[float, Send, Message]] = []
        self.events: list[Any] = []
        self.avoided: list[Avoid] = []
        self.timers: dict[TimerKey, float] = {}
        self._due: list[tuple[float, int, TimerKey]] = []
        self._numbers = itertools.count()
        self._branches = itertools.count(1)

    # -- the user agent's side -----------------------------------------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(_, data):
                    # A 400 repeats the malformed field that it complains of.
                    with contextlib.suppress(ParseError):
                        self.sent.append((self.now, effect, parse_message(data)))
                case Avoid():
                    self.avoided.append(effect)
                case SetTimer(key, at):
                    assert at >= self.now, "a timer in the past"
                    self.timers[key] = at
                    heapq.heappush(self._due, (at, next(self._numbers), key))
                case CancelTimer(key):
                    self.timers.pop(key, None)
                case Report(event):
                    self.events.append(event)

    def run(self, seconds: float) -> None:
        """Let time pass; timers fire when they are due."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            at, _, key = heapq.heappop(self._due)
            if self.timers.get(key) == at:
                self.now = max(self.now, at)
                del self.timers[key]
                self.perform(self.ua.timer_fired(key, self.now))
        self.now = end

    def take(self) -> list[Message]:
        """What was sent since the last time."""
        messages, self.sent = [message for _, _, message in self.sent], []
        return messages

    def statuses(self) -> list[int]:
        """The statuses of the responses sent since the last time."""
        return [message.status for message in self.take() if isinstance(message, Response)]

    def requests(self) -> list[Request]:
        """The requests sent since the last time."""
        return [message for message in self.take() if isinstance(message, Request)]

    def happened(self) -> list[Any]:
        """What was reported since the last time."""
        events, self.events = self.events, []
        return events

    # -- the peer's side -----------------------------------------------------------------------------------------------------

    def source(
        self, host: str = PEER, *, port: int = 5060, trunk: str = "", may_begin: bool = True
    ) -> Source:
        return Source(self.transport, host, port, 0 if self.transport == "UDP" else 7, trunk, may_begin)

    def receive(self, message: Message, **source: Any) -> None:
        """The peer's message, over the wire and back."""
        parsed = parse_message(message.to_bytes())
        self.perform(self.ua.receive(parsed, self.source(**source), self.now))

    def branch(self) -> str:
        return f"z9hG4bKpeer{next(self._branches)}"


@dataclass
class Caller:
    """A peer that calls the user agent."""

    wire: Wire
    call_id: str = "call-1"
    tag: str = "peer"
    to_tag: str = ""
    cseq: int = 0
    invite_branch: str = ""
    route: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self,
        method: str,
        body: bytes = b"",
        *,
        cseq: int | None = None,
        branch: str = "",
        uri: str = "sip:bank@192.0.2.1",
        content_type: str = "application/sdp",
        **headers: str,
    ) -> Request:
        """A request of the caller's, in the dialog as far as there is one."""
        if cseq is None:
            self.cseq += method not in ("ACK", "CANCEL")
            cseq = self.cseq
        parsed = parse_message(b"OPTIONS %s SIP/2.0\r\n\r\n" % uri.encode())
        assert isinstance(parsed, Request)
        request = Request(method, parsed.uri)
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        fields = {
            "Via": f"SIP/2.0/{self.wire.transport} {PEER};branch={branch or self.wire.branch()};rport",
            "From": f"<sip:peer@example.com>;tag={self.tag}",
            "To": f"<sip:bank@192.0.2.1>{to_tag}",
            "Call-ID": self.call_id,
            "CSeq": f"{cseq} {method}",
            "Max-Forwards": "70",
            "Contact": f"<sip:peer@{PEER}>",
        }
        if body:
            fields["Content-Type"] = content_type
        fields |= self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in fields.items():
            request.headers.add(name, value)
        request.body = body
        return request

    def send(self, method: str, body: bytes = b"", **options: Any) -> list[Message]:
        """Send a request; returns what the user agent sent at once."""
        host = options.pop("host", PEER)
        trunk = options.pop("trunk", "")
        self.wire.receive(self.request(method, body, **options), host=host, trunk=trunk)
        return self.wire.take()

    def invite(self, body: bytes | None = None, **options: Any) -> Response:
        """Send the INVITE; returns the last response."""
        self.invite_branch = options.pop("branch", "") or self.wire.branch()
        replies = self.send("INVITE", sdp() if body is None else body, branch=self.invite_branch, **options)
        last = replies[-1]
        assert isinstance(last, Response)
        return last

    def learn_tag(self, response: Message) -> None:
        self.to_tag = response.to.tag

    def establish(self, body: bytes | None = None, media: LocalMedia = MEDIA, **options: Any) -> int:
        """A whole call up to the ACK; returns its handle."""
        self.invite(body, **options)
        call: int = self.wire.happened()[-1].call
        self.wire.perform(self.wire.ua.answer(call, media, self.wire.now))
        (answer,) = self.wire.take()
        self.learn_tag(answer)
        self.send("ACK", sdp() if body == b"" else b"")
        self.wire.happened()
        return call


def respond(
    request: Request, status: int, body: bytes = b"", *, tag: str = "callee", **headers: str
) -> Response:
    """The peer's response to a request of the user agent's."""
    from antiphon.sip.message import make_response

    response = make_response(request, status, to_tag=tag)
    fields = {"Contact": f"<sip:callee@{PEER}>"} if 100 < status < 300 else {}
    if body:
        fields["Content-Type"] = "application/sdp"
    for name, value in (fields | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        response.headers.add(name, value)
    response.body = body
    return response
