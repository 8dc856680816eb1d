"""Scenarios for sipp, the load generator that knows nothing of us, written as lists of steps; and sipp itself as a process.

A scenario is XML to sipp. Each function here gives the XML of one step.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from antiphon.audio import g711

HOST = "127.0.0.1"
CAPTURES = Path("/usr/share/sip-tester")
TONE_FILE = "tone.ul"

_URI = "sip:[service]@[remote_ip]:[remote_port]"
_HEAD = """{method} {uri} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport
From: "sipp" <sip:sipp@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <{to}>{tag}
{routes}Call-ID: {call_id}
CSeq: {cseq}
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: {hops}
"""
_RESPONSE = """SIP/2.0 {status}
[last_Via:]
{record_route}[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:uas@[local_ip]:[local_port];transport=[transport]>
"""


def sdp(direction: str = "sendrecv", *, codec: str = "0 PCMU", version: int = 1, address: str = "") -> str:
    """A description of one stream with keys as events."""
    number, name = codec.split()
    return f"""v=0
o=sipp 100 {version} IN IP4 [local_ip]
s=-
c=IN IP4 {address or "[media_ip]"}
t=0 0
m=audio [auto_media_port] RTP/AVP {number} 101
a=rtpmap:{number} {name}/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a={direction}
"""


def request(
    method: str,
    cseq: int,
    *,
    body: str = "",
    content_type: str = "application/sdp",
    headers: str = "",
    dialog: bool = True,
    ack_to: str = "",
    hops: int = 70,
    tag: str | None = None,
    call_id: str = "[call_id]",
) -> str:
    """Send a request.

    Args:
        dialog: within the dialog: to the peer's Contact by the route set.
        ack_to: an ACK or CANCEL of this transaction: the Via to repeat.
        tag: of To, in place of the dialog's.
    """
    if tag is None:
        tag = "[peer_tag_param]" if dialog else ""
    text = _HEAD.format(
        method=method,
        uri="[next_url]" if dialog else _URI,
        to=_URI,
        tag=tag,
        branch="[branch]",
        routes="[routes]\n" if dialog else "",
        call_id=call_id,
        cseq=f"{cseq} {method}",
        hops=hops,
    )
    if ack_to:
        lines = text.splitlines(keepends=True)
        text = "".join([lines[0], f"{ack_to}\n", *lines[2:]])
    return _send(text, headers, body, content_type, retrans=method != "ACK")


def respond(
    status: str, *, body: str = "", record_route: str = "", tag: bool = True, headers: str = ""
) -> str:
    """Send a response to the last request."""
    text = _RESPONSE.format(
        status=status,
        record_route=record_route + "\n" if record_route else "",
        tag=";tag=[pid]U[call_number]" if tag else "",
    )
    return _send(text, headers, body, "application/sdp", retrans=False)


def _send(text: str, headers: str, body: str, content_type: str, *, retrans: bool) -> str:
    if headers:
        text += headers + "\n"
    if body:
        text += f"Content-Type: {content_type}\n"
    text += f"Content-Length: [len]\n\n{body}"
    attribute = ' retrans="500"' if retrans else ""
    return f"<send{attribute}><![CDATA[\n{text}\n]]></send>"


def expect(
    status: int,
    *,
    optional: bool = False,
    header: str = "",
    body: str = "",
    absent: str = "",
    rrs: bool = False,
) -> str:
    """Wait for a response.

    Args:
        header: a pattern that must be found in its head.
        body: one that must be found in its body.
        absent: one that must not.
        rrs: keep its Record-Route and Contact as the dialog's.
    """
    attributes = f'response="{status}"' + ' optional="true"' * optional + ' rrs="true"' * rrs
    return _receive(attributes, header, body, absent)


def expect_request(
    method: str, *, header: str = "", body: str = "", absent: str = "", rrs: bool = False
) -> str:
    """Wait for a request."""
    return _receive(f'request="{method}"' + ' rrs="true"' * rrs, header, body, absent)


def _receive(attributes: str, header: str, body: str, absent: str) -> str:
    checks = ""
    for pattern, where, test in (
        (header, "msg", "check_it"),
        (body, "body", "check_it"),
        (absent, "msg", "check_it_inverse"),
    ):
        if pattern:
            checks += (
                f'<ereg regexp={quoteattr(pattern)} search_in="{where}" {test}="true" assign_to="found"/>'
            )
    return f"<recv {attributes}>" + (f"<action>{checks}</action>" if checks else "") + "</recv>"


def provisional() -> str:
    """Whatever may come before the final response."""
    return "".join(expect(status, optional=True) for status in (100, 180, 183))


def pause(seconds: float) -> str:
    return f'<pause milliseconds="{round(seconds * 1000)}"/>'


def play(capture: str) -> str:
    """Play a capture that comes with sipp; needs raw sockets."""
    return f'<nop><action><exec play_pcap_audio="{CAPTURES / capture}"/></action></nop>'


def stream() -> str:
    """Send a tone of 440 Hz from now on."""
    return f'<nop><action><exec rtp_stream="{TONE_FILE},-1,0"/></action></nop>'


def stop_stream() -> str:
    return '<nop><action><exec rtp_stream="pause"/></action></nop>'


def scenario(*steps: str) -> str:
    text = "\n".join(steps)
    used = '<Reference variables="found"/>' if 'assign_to="found"' in text else ""
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="test">\n{text}\n{used}\n</scenario>\n'
    )


def call(*during: str, body: str = sdp(), headers: str = "", last: int = 2) -> str:
    """A call: INVITE to ACK, then `during`, then BYE with the number `last`."""
    return scenario(
        request("INVITE", 1, body=body, headers=headers, dialog=False),
        provisional(),
        expect(200, rrs=True),
        request("ACK", 1),
        *during,
        request("BYE", last),
        expect(200),
    )


@dataclass(frozen=True)
class Outcome:
    """How sipp ended; `errors` is its log."""

    code: int
    errors: str
    printed: str

    def check(self) -> None:
        assert self.code == 0, f"sipp: {self.code}\n{self.errors[-3000:]}\n{self.printed[-1500:]}"


class Sipp:
    """One run of sipp in a folder of its own."""

    def __init__(self, folder: Path, text: str, *, media_port: int = 31000) -> None:
        self.port = free_port()
        self._folder = folder
        self._media_port = media_port
        self._process: asyncio.subprocess.Process | None = None
        self._output = b""
        (folder / "scenario.xml").write_text(text)
        at = np.arange(16000) / 8000
        tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        (folder / TONE_FILE).write_bytes(g711.encode_ulaw(tone).tobytes())

    async def start(self, *arguments: str, limit: float = 25) -> None:
        self._log = (self._folder / "printed").open("wb")
        self._process = await asyncio.create_subprocess_exec(
            *("sipp", "-sf", "scenario.xml", "-i", HOST, "-p", str(self.port), "-mi", HOST),
            *("-mp", str(self._media_port), "-nostdin", "-trace_err", "-error_file", "errors"),
            *("-timeout", str(limit), "-timeout_error", *arguments),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "TERM": "dumb"},
        )

    async def wait(self, limit: float = 40) -> Outcome:
        """Raises TimeoutError."""
        assert self._process is not None
        try:
            async with asyncio.timeout(limit):
                code = await self._process.wait()
        finally:
            await self.aclose()
        errors = self._folder / "errors"
        found = errors.read_text(errors="replace") if errors.exists() else ""
        return Outcome(code, found, (self._folder / "printed").read_text(errors="replace"))

    async def aclose(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._log.close()


async def call_in(
    folder: Path, text: str, address: tuple[str, int], *more: str, media_port: int = 31000
) -> Outcome:
    """Play a caller once, who dials `bank`; returns when it is done."""
    sipp = Sipp(folder, text, media_port=media_port)
    await sipp.start(f"{address[0]}:{address[1]}", "-s", "bank", "-m", "1", *more)
    return await sipp.wait()


async def called(folder: Path, text: str, *more: str) -> Sipp:
    """Play a callee once; returns when it listens."""
    sipp = Sipp(folder, text)
    await sipp.start("-m", "1", *more)
    for _ in range(500):
        if not _is_free(sipp.port):
            return sipp
        await asyncio.sleep(0.02)
    await sipp.aclose()
    raise AssertionError("sipp does not listen")


def free_port() -> int:
    """A UDP port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
