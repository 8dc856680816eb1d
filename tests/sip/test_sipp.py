"""Against sipp, a peer that nobody here wrote: each scenario is the peer's side of a call, step by step.

RFC 3261, RFC 3262, RFC 3311, RFC 4028, RFC 6086. sipp checks what it gets and fails the scenario otherwise.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.sip.admission import Admission
from antiphon.sip.call import CallRequest
from antiphon.sip.events import (
    Answered,
    DigitReceived,
    EndCause,
    Ended,
    IncomingCall,
    MediaChanged,
    Rejected,
    SipEvent,
)
from antiphon.sip.headers import NameAddr
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.stack import UserAgentOptions
from antiphon.sip.transport import Listener, SipEndpoint
from antiphon.sip.uri import SipUri, address_uri

pytestmark = pytest.mark.needs("sipp")

HOST = "127.0.0.1"
MEDIA = LocalMedia(HOST, 20000)

SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 100 {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio 31000 RTP/AVP {formats}
a=rtpmap:101 telephone-event/8000
{direction}
"""
NO_BODY = "Content-Length: 0\n\n"


def offer(direction: str = "a=sendrecv", version: int = 1, formats: str = "0 8 101") -> str:
    return SDP.format(direction=direction, version=version, formats=formats)


def request(
    method: str,
    cseq: int,
    rest: str = NO_BODY,
    *,
    first: bool = False,
    headers: str = "",
    branch: str = "[branch]",
) -> str:
    """A step in which sipp sends a request."""
    uri = "sip:bank@[remote_ip]:[remote_port]" if first else "[next_url]"
    to_tag = "" if first else "[peer_tag_param]"
    retransmit = "" if method == "ACK" else ' retrans="500"'
    return f"""<send{retransmit}><![CDATA[
{method} {uri} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:bank@[remote_ip]:[remote_port]>{to_tag}
[routes]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
{headers}{rest}]]></send>
"""


def receive(status: int, *, optional: bool = False, pattern: str = "", header: str = "") -> str:
    """A step in which sipp waits for a response."""
    check = ""
    if pattern:
        where = f'search_in="hdr" header="{header}"' if header else 'search_in="msg"'
        check = f'<action><ereg regexp="{pattern}" {where} check_it="true" assign_to="1"/></action>'
    flag = ' optional="true"' if optional else ' rrs="true"'
    return f'<recv response="{status}"{flag}>{check}</recv>\n'


def expect(method: str) -> str:
    """A step in which sipp waits for a request."""
    return f'<recv request="{method}" rrs="true"/>\n'


def recall(header: str, variable: int) -> str:
    """A step in which sipp waits for the INVITE and keeps one of its fields."""
    keep = f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{variable}"/>'
    return f'<recv request="INVITE" rrs="true"><action>{keep}</action></recv>\n'


def reply(status: int, phrase: str, rest: str = NO_BODY, headers: str = "", tag: bool = True) -> str:
    """A step in which sipp sends a response."""
    to = "[last_To:];tag=[pid]U[call_number]" if tag else "[last_To:]"
    return f"""<send><![CDATA[
SIP/2.0 {status} {phrase}
[last_Via:]
[last_Record-Route:]
[last_From:]
{to}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
{headers}{rest}]]></send>
"""


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>\n'


PROVISIONAL = receive(100, optional=True) + receive(180, optional=True) + receive(183, optional=True)
SETUP = request("INVITE", 1, offer(), first=True) + PROVISIONAL + receive(200) + request("ACK", 1)
BYE = "BYE"


def bye(cseq: int) -> str:
    return request(BYE, cseq) + receive(200)


CALLERS = {
    "a plain call": SETUP + pause(200) + bye(2),
    "hold and resume by re-INVITE": SETUP
    + request("INVITE", 2, offer("a=sendonly", 2)) + receive(100, optional=True) + receive(200, pattern="a=recvonly")
    + request("ACK", 2)
    + request("INVITE", 3, offer("a=inactive", 3)) + receive(100, optional=True) + receive(200, pattern="a=inactive")
    + request("ACK", 3)
    + request("INVITE", 4, offer("a=sendrecv", 4)) + receive(100, optional=True) + receive(200, pattern="a=sendrecv")
    + request("ACK", 4) + bye(5),
    "hold by UPDATE": SETUP + request("UPDATE", 2, offer("a=sendonly", 2)) + receive(200, pattern="a=recvonly") + bye(3),
    "an INVITE without an offer": request("INVITE", 1, first=True) + PROVISIONAL + receive(200, pattern="m=audio 20000 ")
    + request("ACK", 1, offer()) + pause(100) + bye(2),
    "digits by INFO": SETUP
    + request("INFO", 2, "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal=7\nDuration=160\n")
    + receive(200) + bye(3),
    "415 with Accept": request("INVITE", 1, "Content-Type: text/html\nContent-Length: [len]\n\n<p>hello</p>\n", first=True)
    + receive(100, optional=True) + receive(415, header="Accept:", pattern="application/sdp") + request("ACK", 1, branch="[branch-3]"),
    "420 with Unsupported": request("INVITE", 1, offer(), first=True, headers="Require: gruu\n")
    + receive(100, optional=True) + receive(420, header="Unsupported:", pattern="gruu") + request("ACK", 1, branch="[branch-3]"),
    "488 without a common codec": request("INVITE", 1, offer(formats="18"), first=True)
    + PROVISIONAL + receive(488) + request("ACK", 1, branch="[branch-5]"),
    "405 with Allow": request("SUBSCRIBE", 1, first=True, headers="Event: x\n") + receive(405, header="Allow:", pattern="INVITE"),
    "OPTIONS": request("OPTIONS", 1, first=True) + receive(200, header="Allow:", pattern="INVITE"),
    "481 for an unknown dialog": request(BYE, 1, first=True) + receive(481),
    "422 and a session timer": request("INVITE", 1, offer(), first=True, headers="Supported: timer\nSession-Expires: 30\n")
    + receive(100, optional=True) + receive(422, header="Min-SE:", pattern="90") + request("ACK", 1, branch="[branch-3]")
    + request("INVITE", 2, offer(), first=True, headers="Supported: timer\nSession-Expires: 90;refresher=uac\nMin-SE: 90\n")
    + PROVISIONAL + receive(200, header="Session-Expires:", pattern="90;refresher=uac") + request("ACK", 2)
    + request("UPDATE", 3, headers="Supported: timer\nSession-Expires: 90;refresher=uac\n")
    + receive(200, header="Session-Expires:", pattern="90;refresher=uac") + bye(4),
    "a reliable 180": request("INVITE", 1, offer(), first=True, headers="Require: 100rel\n")
    + receive(100, optional=True)
    + '<recv response="180" rrs="true"><action><ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="1"/></action></recv>\n'
    + request("PRACK", 2, headers="RAck: [$1] 1 INVITE\n") + receive(200) + receive(200) + request("ACK", 1) + bye(3),
    "a late ACK": request("INVITE", 1, offer(), first=True) + PROVISIONAL + receive(200) + pause(1200)
    + request("ACK", 1) + pause(1000) + bye(2),
}  # fmt: skip

CALLEES = {
    "answered": expect("INVITE") + reply(100, "Trying", tag=False) + reply(180, "Ringing") + pause(100)
    + reply(200, "OK", offer()) + expect("ACK") + expect(BYE) + reply(200, "OK", tag=False),
    "through a recording proxy": expect("INVITE")
    + reply(200, "OK", offer(), headers="Record-Route: <sip:[local_ip]:[local_port];lr>\n")
    + '<recv request="ACK"><action><ereg regexp="sip:" search_in="hdr" header="Route:" check_it="true" assign_to="1"/></action></recv>\n'
    + '<recv request="BYE"><action><ereg regexp="sip:" search_in="hdr" header="Route:" check_it="true" assign_to="1"/></action></recv>\n'
    + reply(200, "OK", tag=False),
    "hangs up": recall("From", 2) + reply(200, "OK", offer()) + expect("ACK") + pause(200)
    + """<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]U[call_number]
To:[$2]
Call-ID: [call_id]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
""" + receive(200),
    "busy": expect("INVITE") + reply(486, "Busy Here") + expect("ACK"),
    "a reliable 183": recall("Via", 2) + reply(183, "Session Progress", offer(), headers="Require: 100rel\nRSeq: 9\n")
    + '<recv request="PRACK"><action><ereg regexp="9 1 INVITE" search_in="hdr" header="RAck:" check_it="true" assign_to="1"/></action></recv>\n'
    + reply(200, "OK", tag=False)
    + reply(200, "OK", tag=False).replace("[last_Via:]", "Via:[$2]").replace("[last_CSeq:]", "CSeq: 1 INVITE")
    + expect("ACK") + expect(BYE) + reply(200, "OK", tag=False),
}  # fmt: skip


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def scenario(folder: Path, steps: str) -> Path:
    path = folder / "scenario.xml"
    used = ",".join(number for number in "12" if f'assign_to="{number}"' in steps)
    extra = f'<Reference variables="{used}"/>' if used else ""
    path.write_text(
        f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="test">\n{steps}{extra}</scenario>\n'
    )
    return path


async def sipp(folder: Path, *arguments: str) -> str:
    """Run sipp to its end; returns what went wrong, empty if nothing did."""
    process = await asyncio.create_subprocess_exec(
        "sipp", *arguments, "-i", HOST, "-mi", HOST, "-nostdin", "-timeout", "50s", "-timeout_error", "-trace_err",
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    return (
        f"sipp ended with {process.returncode}\n{errors.decode(errors='replace')[:500]}\n{error_logs(folder)}"
    )


def error_logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[:2000] for path in folder.glob("*_errors.log"))


class Service:
    """Answers every call after ringing for a moment, and keeps what happened."""

    def __init__(self, then: Callable[[Service, SipEvent], None] | None = None) -> None:
        self.endpoint: SipEndpoint
        self.events: list[SipEvent] = []
        self._then = then

    def on_event(self, event: SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, IncomingCall):
            self.endpoint.ring(event.call)
            asyncio.get_running_loop().call_later(0.05, self._answer, event.call)
        if self._then is not None:
            self._then(self, event)

    def _answer(self, call: int) -> None:
        if call in self.endpoint.user_agent.calls:
            self.endpoint.answer(call, MEDIA)

    async def __aenter__(self) -> Service:
        listeners = [Listener("UDP", HOST, 0), Listener("TCP", HOST, 0)]
        options = UserAgentOptions({}, session_expires=0)
        self.endpoint = await SipEndpoint.start(
            listeners, self.on_event, admission=Admission(everyone=True), options=options
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.aclose(drain=2.0)


BY_TCP = ("a plain call", "hold and resume by re-INVITE", "488 without a common codec")


@pytest.mark.parametrize(
    ("name", "transport"), [*((name, "UDP") for name in CALLERS), *((name, "TCP") for name in BY_TCP)]
)
def test_sipp_calls(name: str, transport: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with Service() as service:
            host, port = service.endpoint.addresses[transport]
            steps = scenario(tmp_path, CALLERS[name])
            mode = ("-t", "t1") if transport == "TCP" else ()
            fault = await sipp(
                tmp_path, "-sf", str(steps), f"{host}:{port}", "-p", str(free_port()), "-m", "1", *mode
            )
            assert not fault, fault
            assert service.endpoint.user_agent.calls == []
            if name == "digits by INFO":
                assert [e.digit for e in service.events if isinstance(e, DigitReceived)] == ["7"]
            if name.startswith("hold"):
                held = [event.media.on_hold for event in service.events if isinstance(event, MediaChanged)]
                assert held[:2] == [False, True]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "transport"), [*((name, "UDP") for name in CALLEES), ("answered", "TCP"), ("hangs up", "TCP")]
)
def test_sipp_is_called(name: str, transport: str, tmp_path: Path) -> None:
    def hang_up(service: Service, event: SipEvent) -> None:
        if isinstance(event, Answered) and name != "hangs up":
            asyncio.get_running_loop().call_later(0.1, service.endpoint.hang_up, event.call)

    async def run() -> None:
        async with Service(hang_up) as service:
            port = free_port()
            steps = scenario(tmp_path, CALLEES[name])
            mode = ("-t", "t1") if transport == "TCP" else ()
            waiting = asyncio.create_task(
                sipp(tmp_path, "-sf", str(steps), "-p", str(port), "-m", "1", *mode)
            )
            await listening(port, transport)
            params = {"transport": "tcp"} if transport == "TCP" else {}
            target = SipUri(HOST, "sipp", port, params=dict(params))
            service.endpoint.place_call(
                CallRequest(target, NameAddr(address_uri("sip:me@example.com")), MEDIA)
            )
            fault = await waiting
            assert not fault, fault
            last = service.events[-1]
            if name == "busy":
                assert isinstance(last, Rejected)
                assert last.code == 486
            else:
                assert isinstance(last, Ended)
                assert last.cause is (EndCause.PEER_HUNG_UP if name == "hangs up" else EndCause.LOCAL)

    asyncio.run(run())


def is_bound(port: int, transport: str) -> bool:
    rows = Path(f"/proc/net/{transport.lower()}").read_text().splitlines()
    return any(row.split()[1].endswith(f":{port:04X}") for row in rows[1:])


async def listening(port: int, transport: str) -> None:
    """Wait until sipp has bound its port."""
    for _ in range(200):
        if is_bound(port, transport):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("sipp never bound its port")


@pytest.mark.slow
def test_200_calls_at_10_a_second_leave_nothing_behind(tmp_path: Path) -> None:
    """Issue: set up and torn down with no leak of tasks, timers or dialogs."""

    async def run() -> None:
        async with Service() as service:
            host, port = service.endpoint.addresses["UDP"]
            arguments = (
                "-sn",
                "uac",
                f"{host}:{port}",
                "-p",
                str(free_port()),
                "-s",
                "bank",
                "-r",
                "10",
                "-m",
                "200",
                "-d",
                "500",
            )
            fault = await sipp(tmp_path, *arguments)
            assert not fault, fault
            ended = [event for event in service.events if isinstance(event, Ended)]
            assert [event.cause for event in ended] == [EndCause.PEER_HUNG_UP] * 200
            agent = service.endpoint.user_agent
            assert agent.is_idle
            assert not agent._stack.dialogs
            assert not service.endpoint._tasks
            assert not any(key[0] == "call" for key in service.endpoint._timers)

    asyncio.run(run())
