"""A telephone of the other side, in this process: its own SIP endpoint, and audio of its own making on a socket of its own.

What it hears is put together by sequence numbers alone, without a jitter buffer, so that it measures what was sent.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from antiphon.rtp.codecs import codec_named, create_coder
from antiphon.rtp.dtmf import DtmfReceiver
from antiphon.rtp.packet import MalformedPacket, RtpPacket, Unwrapper, is_rtcp, parse_rtp
from antiphon.rtp.settings import StreamSettings
from antiphon.rtp.srtp import SrtpContext, SrtpKey
from antiphon.rtp.stream import RtpStream
from antiphon.sip import events as sip
from antiphon.sip.admission import Admission
from antiphon.sip.call import CallRequest
from antiphon.sip.effects import Hop
from antiphon.sip.headers import NameAddr
from antiphon.sip.offer_answer import LocalMedia, NegotiatedMedia, Srtp
from antiphon.sip.stack import UserAgentOptions
from antiphon.sip.transport.endpoint import Listener, SipEndpoint
from antiphon.sip.uri import address_uri

from .udp_relay import Relay

HOST = "127.0.0.1"
Samples = np.ndarray[Any, Any]
E = TypeVar("E")


def tone(frequency: float, seconds: float, rate: int, *, loud: float = 8000.0, start: int = 0) -> Samples:
    at = np.arange(start, start + round(seconds * rate))
    return (loud * np.sin(2 * np.pi * frequency * at / rate)).astype(np.int16)


def measure_tone(samples: Samples, rate: int) -> tuple[float, float]:
    """The strongest frequency in Hz, to a tenth, and how loud most blocks of 10 ms are, in dB over `tone`.

    A short gap, as when this machine was busy, changes neither; `gaps` tells.
    """
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(samples.size), 8 * samples.size))
    frequency = float(spectrum.argmax()) * rate / (8 * samples.size)
    amplitude = float(np.median(_loudness(samples, rate))) * 2**0.5
    return frequency, float(20 * np.log10(max(amplitude, 1e-9) / 8000.0))


def _loudness(samples: Samples, rate: int) -> Samples:
    size = rate // 100
    blocks = samples[: samples.size // size * size].astype(float).reshape(-1, size)
    return np.asarray(np.sqrt((blocks**2).mean(axis=1)))


def gaps(samples: Samples, rate: int) -> float:
    """The share of blocks of 10 ms that are less than half as loud as the usual one."""
    loudness = _loudness(samples, rate)
    return float((loudness < np.median(loudness) / 2).mean())


class Earpiece(asyncio.DatagramProtocol):
    """The audio of one call: speaks a tone, keeps what it hears.

    Attributes:
        frequency: of the tone; 0: silence.
        keys: pressed by the other side, in order.
        arrivals: when each packet of audio came.
        muted: send nothing at all.
        relay: goes between, both ways, if there is one.
    """

    def __init__(self) -> None:
        self.frequency = 1000.0
        self.muted = False
        self.relay: Relay | None = None
        self.keys: list[str] = []
        self.arrivals: list[float] = []
        self.sources: set[Any] = set()
        self.reports = 0
        self.rate = 8000
        self._packets: dict[int, RtpPacket] = {}
        self._ssrc: int | None = None
        self._numbers = Unwrapper(16)
        self._receiver = DtmfReceiver()
        self._stream: RtpStream | None = None
        self._settings: StreamSettings | None = None
        self._unprotect: SrtpContext | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._spoken = 0

    @classmethod
    async def open(cls, host: str = HOST) -> Earpiece:
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=(host, 0))
        return protocol

    @property
    def port(self) -> int:
        """Where audio is to be sent."""
        if self.relay is not None:
            return self.relay.far_address[1]
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def configure(self, media: NegotiatedMedia) -> None:
        codec = replace(codec_named(media.codec), payload_type=media.receive_payload_type)
        received = media.dtmf_receive_type
        remote = (media.address, media.port)
        if self.relay is not None:
            self.relay.far, remote = remote, self.relay.address
        settings = StreamSettings(
            codec,
            media.send_payload_type,
            {media.receive_payload_type: codec},
            dtmf_send=media.dtmf_send_type,
            dtmf_receive=frozenset() if received is None else frozenset({received}),
            dtmf_clock=media.dtmf_clock_rate,
            remote=remote,
            sending=media.direction.sends,
            receiving=media.direction.receives,
            send_key=None if media.send_key is None else SrtpKey(media.suite, media.send_key),
            receive_key=None if media.receive_key is None else SrtpKey(media.suite, media.receive_key),
        )
        before, self._settings = self._settings, settings
        if self._stream is None:
            self._stream = RtpStream(settings, cname="telephone")
            self._speaking = asyncio.create_task(self._speak())
        else:
            self._stream.configure(settings)
        if settings.receive_key is not None and (
            before is None or before.receive_key != settings.receive_key
        ):
            self._unprotect = SrtpContext(settings.receive_key, inbound=True)
        self.rate = codec.sample_rate

    def press(self, keys: str) -> None:
        assert self._stream is not None
        self._stream.press(keys)

    @property
    def pressing(self) -> bool:
        return self._stream is not None and self._stream.pressing

    @property
    def heard(self) -> Samples:
        """What came, by sequence number; what is missing is silence."""
        if not self._packets or self._settings is None:
            return np.zeros(0, dtype=np.int16)
        coder = create_coder(self._settings.codec)
        frame = self.rate // 50
        parts = []
        for number in range(min(self._packets), max(self._packets) + 1):
            packet = self._packets.get(number)
            parts.append(np.zeros(frame, np.int16) if packet is None else coder.decode(packet.payload))
        return np.concatenate(parts)

    @property
    def count(self) -> int:
        """Packets of audio that came."""
        return len(self._packets)

    def forget(self) -> None:
        self._packets.clear()
        self.arrivals.clear()

    async def aclose(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.gather(self._speaking, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._stream is not None
        due = loop.time()
        while True:
            stream = self._stream
            size = stream.frame_samples
            if self.frequency:
                frame = tone(self.frequency, 0.02, self.rate, start=self._spoken)
            else:
                frame = np.zeros(size, np.int16)
            self._spoken += size
            for datagram in stream.packets(stream.encode(frame)):
                if not self.muted and self._transport is not None:
                    self._transport.sendto(datagram, stream.target)
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))

    # -- asyncio.DatagramProtocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._settings is None or is_rtcp(data):
            self.reports += 1
            return
        try:
            packet = parse_rtp(data if self._unprotect is None else self._unprotect.unprotect(data))
        except MalformedPacket:
            return
        self.sources.add(addr)
        if packet.payload_type in self._settings.dtmf_receive:
            key = self._receiver.receive(packet)
            if key is not None:
                self.keys.append(key)
        elif packet.payload_type == self._settings.codec.payload_type:
            if packet.ssrc != self._ssrc:
                self._ssrc, self._numbers = packet.ssrc, Unwrapper(16)
                self._packets.clear()
            self._packets[self._numbers.unwrap(packet.sequence)] = packet
            self.arrivals.append(time.monotonic())


class PhoneCall:
    """One call of a telephone.

    Attributes:
        events: all that happened, in order.
        incoming: of a call that came in.
    """

    def __init__(self, phone: Telephone, ear: Earpiece, media: LocalMedia) -> None:
        self.handle = 0
        self.events: list[sip.SipEvent] = []
        self.ear = ear
        self.media = media
        self.agreed: NegotiatedMedia | None = None
        self.incoming: sip.IncomingCall | None = None
        self._phone = phone
        self._news = asyncio.Condition()
        self._seen = asyncio.Event()

    def take(self, event: sip.SipEvent) -> None:
        if isinstance(event, sip.MediaChanged):
            self.agreed = event.media
            self.ear.configure(event.media)
        self.events.append(event)
        self._seen.set()

    async def until(self, kind: type[E], timeout: float = 5.0) -> E:
        """The first event of a kind that was not waited for yet."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for index, event in enumerate(self.events):
                        if isinstance(event, kind):
                            del self.events[index]
                            return event
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} came, but {self.events}") from None

    @property
    def endpoint(self) -> SipEndpoint:
        return self._phone.endpoint

    def answer(self) -> None:
        self.endpoint.answer(self.handle, self.media)

    def hang_up(self, **how: Any) -> None:
        self.endpoint.hang_up(self.handle, **how)


class Telephone:
    """Calls and is called. Calls that come in wait in `ringing` until somebody takes them."""

    def __init__(self, codecs: tuple[str, ...], srtp: Srtp, transport: str, host: str) -> None:
        self.codecs, self.srtp, self.transport, self.host = codecs, srtp, transport, host
        self.calls: dict[int, PhoneCall] = {}
        self.events: list[sip.SipEvent] = []
        self.on_call: Callable[[PhoneCall], None] | None = None
        self._ringing: asyncio.Queue[sip.IncomingCall] = asyncio.Queue()
        self._ears: list[Earpiece] = []
        self.endpoint: SipEndpoint

    @property
    def port(self) -> int:
        return self.endpoint.addresses[self.transport][1]

    async def dial(
        self, number: str, address: tuple[str, int], *, relay: Relay | None = None, **more: Any
    ) -> PhoneCall:
        """Call `number` at an address, with the audio through `relay`; `more` is of `CallRequest`."""
        ear = await self._ear()
        ear.relay = relay
        media = LocalMedia(self.host, ear.port, self.codecs, srtp=self.srtp)
        call = PhoneCall(self, ear, media)
        suffix = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        wanted = CallRequest(
            target=address_uri(f"sip:{number}@{address[0]}:{address[1]}{suffix}"),
            from_=NameAddr(address_uri(f"sip:+14155550111@{self.host}:{self.port}")),
            media=media,
            hop=Hop(self.transport, *address),
            **more,
        )
        call.handle = self.endpoint.place_call(wanted)
        self.calls[call.handle] = call
        return call

    async def ringing(self, timeout: float = 5.0) -> PhoneCall:
        """The next call that comes in."""
        async with asyncio.timeout(timeout):
            incoming = await self._ringing.get()
        return self.calls[incoming.call]

    async def _ear(self) -> Earpiece:
        ear = await Earpiece.open(self.host)
        self._ears.append(ear)
        return ear

    def _event(self, event: sip.SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, sip.IncomingCall):
            asyncio.get_running_loop().create_task(self._ring(event))
        elif (call := self.calls.get(getattr(event, "call", 0))) is not None:
            call.take(event)

    async def _ring(self, event: sip.IncomingCall) -> None:
        ear = await self._ear()
        call = PhoneCall(self, ear, LocalMedia(self.host, ear.port, self.codecs, srtp=self.srtp))
        call.handle, call.incoming = event.call, event
        self.calls[event.call] = call
        self._ringing.put_nowait(event)

    async def aclose(self) -> None:
        await self.endpoint.aclose(drain=1.0)
        for ear in self._ears:
            await ear.aclose()


@asynccontextmanager
async def telephone(
    *,
    codecs: tuple[str, ...] = ("PCMU", "PCMA"),
    srtp: Srtp = Srtp.OFF,
    transport: str = "UDP",
    host: str = HOST,
    tls: ssl.SSLContext | None = None,
    tls_context: Callable[[str], ssl.SSLContext] | None = None,
    **options: Any,
) -> AsyncIterator[Telephone]:
    """A telephone that listens on a free port; `options` are of `UserAgentOptions`."""
    phone = Telephone(codecs, srtp, transport, host)
    phone.endpoint = await SipEndpoint.start(
        [Listener(transport, host, 0, None, tls)],
        phone._event,
        admission=Admission(everyone=True),
        options=UserAgentOptions({}, name="Telephone", **options),
        tls_context=tls_context,
    )
    try:
        yield phone
    finally:
        await phone.aclose()
