"""The media engine: all calls of one process on a tick of 20 ms, with nothing else in that process.

Calls are spread over four phases of the tick, 5 ms apart, so that the packets of one need not wait for those of all others to
leave. One loop waits for sockets until the next phase is due. Then packets leave first, for they are what must be on time, and what
came is decoded. G.711 of all calls of a phase is one table look-up, and so is the filter one product. A phase that comes late is
made up for.

Run as `python -m antiphon.rtp.engine FD`, where FD is a connected socket to the owner; `media_process` does.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..audio import g711
from ..audio.frame import Int16Array
from ..models.errors import AntiphonError
from .downlink import Downlink
from .engine_messages import (
    Close,
    Closed,
    Configure,
    Event,
    Failed,
    FirstPacket,
    Key,
    MessageReader,
    Open,
    Opened,
    Pacing,
    Press,
    Silent,
    Started,
    Stop,
    pack,
    pack_audio,
)
from .high_pass import high_pass, new_state
from .packet import is_rtcp
from .stream import RtpStream

TICK = 0.02
PHASES = 4
ENGINE_SILENCE = 5.0
_CATCH_UP = 10
_LATE = 0.005
_PACING_PERIOD = 250  # ticks
_SLOT = TICK / PHASES
_AT_ONCE = 32  # sockets that are read before the clock is looked at again, so that a burst of packets makes none of ours late
_DATAGRAM = 4096
_BACKLOG = 8 * 1024 * 1024

_DECODE: dict[str, Callable[[g711.Uint8Array], Int16Array]] = {
    "PCMU": g711.decode_ulaw,
    "PCMA": g711.decode_alaw,
}
_ENCODE: dict[str, Callable[[Int16Array], g711.Uint8Array]] = {
    "PCMU": g711.encode_ulaw,
    "PCMA": g711.encode_alaw,
}


class EngineCall:
    """One call in the engine: its sockets, its stream, and what waits to be said."""

    def __init__(self, number: int, phase: int, rtp: socket.socket, rtcp: socket.socket) -> None:
        self.number = number
        self.phase = phase
        self.rtp = rtp
        self.rtcp = rtcp
        self.stream: RtpStream | None = None
        self.downlink = Downlink()
        self.filter_state = new_state()
        self.frame: Int16Array | None = None
        self.first_told = False
        self.configured_at = 0.0
        self.silence_told = 0


class MediaEngine:
    """Runs until told to stop or until its owner is gone."""

    def __init__(self, owner: socket.socket, *, goes_first: bool = False) -> None:
        owner.setblocking(False)
        self._owner = owner
        self._reader = MessageReader()
        self._out = bytearray()
        self._calls: dict[int, EngineCall] = {}
        self._handlers: dict[int, Callable[[], None]] = {owner.fileno(): self._read_owner}
        self._poll = select.epoll()
        self._poll.register(owner.fileno(), select.EPOLLIN)
        self._running = True
        self._lateness: list[float] = []
        self._slot = 0
        self._tell(Started(goes_first))

    def run(self) -> None:
        """The loop."""
        following = time.monotonic() + _SLOT
        while self._running:
            wait = following - time.monotonic()
            for descriptor, _ in self._poll.poll(max(0.0, wait), _AT_ONCE):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler()
            now = time.monotonic()
            if now - following > _CATCH_UP * TICK:
                following = now
            while self._running and now >= following:
                self._tick(following, now)
                following += _SLOT
                now = time.monotonic()
        for call in tuple(self._calls.values()):
            self._close(call)
        self._flush()

    # -- the tick ------------------------------------------------------------------------------------------------------

    def _tick(self, due: float, now: float) -> None:
        """One phase."""
        phase = self._slot % PHASES
        running = [call for call in self._calls.values() if call.stream is not None]
        active = [call for call in running if call.phase == phase]
        if active:
            self._send_audio(active, due)
            self._play(active, now)
            self._watch(active, now)
        self._slot += 1
        if self._slot % (_PACING_PERIOD * PHASES) == 0 and self._lateness:
            self._tell_pacing(len(running))
        self._flush()

    def _send_audio(self, active: list[EngineCall], due: float) -> None:
        groups: dict[str, list[EngineCall]] = {}
        frames: dict[str, list[bytes]] = {}
        for call in active:
            assert call.stream is not None
            codec = call.stream.settings.codec.name
            frame = call.downlink.pull()
            size = 2 * call.stream.frame_samples
            if frame is None or len(frame) != size:
                frame = bytes(size)
            groups.setdefault(codec, []).append(call)
            frames.setdefault(codec, []).append(frame)
        for codec, calls in groups.items():
            stacked = np.frombuffer(b"".join(frames[codec]), dtype=np.int16).reshape(len(calls), -1)
            encode = _ENCODE.get(codec)
            if encode is not None:
                codes = encode(stacked).tobytes()
                size = stacked.shape[1]
                for index, call in enumerate(calls):
                    self._send(call, codes[index * size : (index + 1) * size], due)
            else:
                for call, samples in zip(calls, stacked, strict=True):
                    assert call.stream is not None
                    self._send(call, call.stream.encode(samples), due)

    def _send(self, call: EngineCall, payload: bytes, due: float) -> None:
        assert call.stream is not None
        datagrams = call.stream.packets(payload)
        target = call.stream.target
        if not datagrams or target is None:
            return
        try:
            for datagram in datagrams:
                call.rtp.sendto(datagram, target)
        except OSError:
            return  # nobody listens there now, or the queue is full: the next packet is another try
        self._lateness.append(time.monotonic() - due)

    def _play(self, active: list[EngineCall], now: float) -> None:
        groups: dict[str, tuple[list[EngineCall], list[bytes]]] = {}
        for call in active:
            assert call.stream is not None
            ready = call.stream.next_payload(now)
            if ready is None:
                call.frame = call.stream.pull(now)
            else:
                calls, payloads = groups.setdefault(ready[0].name, ([], []))
                calls.append(call)
                payloads.append(ready[1])
        for codec, (calls, payloads) in groups.items():
            codes = np.frombuffer(b"".join(payloads), dtype=np.uint8).reshape(len(calls), -1)
            for call, frame in zip(calls, _DECODE[codec](codes), strict=True):
                assert call.stream is not None
                call.frame = frame
                call.stream.played(frame)
        self._deliver([call for call in active if call.first_told])

    def _deliver(self, calls: list[EngineCall]) -> None:
        """Filter what was decoded, all calls of one rate at once, and hand it to the owner."""
        rates: dict[int, list[EngineCall]] = {}
        for call in calls:
            assert call.stream is not None
            rates.setdefault(call.stream.settings.codec.sample_rate, []).append(call)
        frames: list[tuple[int, bytes]] = []
        for rate, members in rates.items():
            stacked = np.stack([call.frame for call in members if call.frame is not None])
            states = np.stack([call.filter_state for call in members])
            filtered, after = high_pass(stacked, states, rate)
            size = 2 * filtered.shape[1]
            data = filtered.tobytes()
            for index, call in enumerate(members):
                call.filter_state = after[index]
                frames.append((call.number, data[index * size : (index + 1) * size]))
        if frames and len(self._out) < _BACKLOG:
            self._out += pack_audio(frames)

    def _watch(self, active: list[EngineCall], now: float) -> None:
        """Reports that are due, and calls that nothing comes from."""
        for call in active:
            stream = call.stream
            assert stream is not None
            report = stream.report(now, time.time())
            if report is not None:
                self._send_report(call, report)
            since = max(stream.last_received or 0.0, call.configured_at)
            periods = int((now - since) / ENGINE_SILENCE)
            if periods > call.silence_told:
                self._tell(Silent(call.number, now - since))
            call.silence_told = periods

    def _send_report(self, call: EngineCall, report: bytes) -> None:
        assert call.stream is not None
        target = call.stream.rtcp_target
        outlet = call.rtp if call.stream.settings.rtcp_mux else call.rtcp
        if target is not None:
            try:
                outlet.sendto(report, target)
            except OSError:
                return  # reports may be lost

    def _tell_pacing(self, calls: int) -> None:
        ordered = sorted(self._lateness)
        count = len(ordered)
        self._tell(
            Pacing(
                calls,
                count,
                ordered[count // 2],
                ordered[min(count - 1, count * 99 // 100)],
                ordered[-1],
                sum(late > _LATE for late in ordered),
            )
        )
        self._lateness = []

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _receive(self, call: EngineCall) -> None:
        """One datagram; if more wait, the next round of the loop finds them, and finding out here costs more."""
        try:
            datagram, source = call.rtp.recvfrom(_DATAGRAM)
        except OSError:
            return
        if call.stream is None:
            return
        if is_rtcp(datagram):
            call.stream.receive_rtcp(datagram, source[:2], time.monotonic(), time.time())
            return
        found = call.stream.receive(datagram, source[:2], time.monotonic())
        if found.valid and not call.first_told:
            call.first_told = True
            self._tell(FirstPacket(call.number))
        if found.key is not None:
            self._tell(Key(call.number, found.key))

    def _receive_reports(self, call: EngineCall) -> None:
        try:
            datagram, source = call.rtcp.recvfrom(_DATAGRAM)
        except OSError:
            return
        if call.stream is not None:
            call.stream.receive_rtcp(datagram, source[:2], time.monotonic(), time.time())

    # -- the owner -----------------------------------------------------------------------------------------------------

    def _read_owner(self) -> None:
        try:
            data = self._owner.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._running = False
            return
        for message in self._reader.feed(data):
            if isinstance(message, list):
                for number, frame in message:
                    call = self._calls.get(number)
                    if call is not None:
                        call.downlink.push(frame)
            else:
                self._obey(message)

    def _obey(self, command: Any) -> None:
        match command:
            case Open():
                self._open(command)
            case Stop():
                self._running = False
            case Configure(number, settings) if number in self._calls:
                call = self._calls[number]
                try:
                    if call.stream is None:
                        call.stream = RtpStream(settings)
                    else:
                        call.stream.configure(settings)
                except (AntiphonError, ValueError) as error:
                    self._tell(Failed(number, str(error)))
                    return
                call.configured_at = time.monotonic()
                call.first_told = False
            case Press(number, keys) if number in self._calls:
                stream = self._calls[number].stream
                try:
                    if stream is not None:
                        stream.press(keys)
                except ValueError as error:
                    self._tell(Failed(number, str(error)))
            case Close(number) if number in self._calls:
                self._close(self._calls[number])

    def _open(self, command: Open) -> None:
        try:
            rtp = _bind(command.host, command.port)
            try:
                rtcp = _bind(command.host, command.port + 1)
            except OSError:
                rtp.close()
                raise
        except OSError as error:
            ports = f"port {command.port} or the one above"
            self._tell(Opened(command.call, f"{ports}: {error.strerror or error}"))
            return
        held = [call.phase for call in self._calls.values()]
        call = EngineCall(command.call, min(range(PHASES), key=held.count), rtp, rtcp)
        self._calls[call.number] = call
        self._handlers[rtp.fileno()] = lambda: self._receive(call)
        self._handlers[rtcp.fileno()] = lambda: self._receive_reports(call)
        for one in (rtp, rtcp):
            self._poll.register(one.fileno(), select.EPOLLIN)
        self._tell(Opened(call.number))

    def _close(self, call: EngineCall) -> None:
        del self._calls[call.number]
        statistics: dict[str, Any] = {}
        if call.stream is not None:
            goodbye = call.stream.report(time.monotonic(), time.time(), goodbye=True)
            if goodbye is not None:
                self._send_report(call, goodbye)
            statistics = call.stream.statistics()
            statistics |= {"ran_dry": call.downlink.ran_dry, "dropped": call.downlink.dropped}
        for one in (call.rtp, call.rtcp):
            del self._handlers[one.fileno()]
            self._poll.unregister(one.fileno())
            one.close()
        self._tell(Closed(call.number, statistics))

    def _tell(self, event: Event) -> None:
        self._out += pack(event)

    def _flush(self) -> None:
        while self._out:
            try:
                sent = self._owner.send(self._out[: 1 << 18])
            except BlockingIOError:
                return  # the owner is busy; what waits is bounded by leaving out audio
            except OSError:
                self._running = False
                return
            del self._out[:sent]


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _go_first() -> bool:
    """Be scheduled before others, where this process has the right to (root, CAP_SYS_NICE or RLIMIT_RTPRIO); returns whether it is.

    It works for a moment of each 20 ms and must have that moment when it is due, whatever else the machine computes. The kernel
    leaves a twentieth of each second to others, whatever this process does.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    return True


def main() -> None:
    """Run an engine on the socket whose number is the first argument."""
    owner = socket.socket(fileno=int(sys.argv[1]))
    goes_first = _go_first()
    # What is loaded stays; a collection in the middle of a tick would make packets late.
    gc.collect()
    gc.freeze()
    MediaEngine(owner, goes_first=goes_first).run()


if __name__ == "__main__":
    main()
