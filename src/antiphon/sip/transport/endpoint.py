"""The asyncio shell of a user agent: its sockets, its timers, and the order in which things happen.

Everything runs on one event loop. Effects are carried out in order; a user who acts from within an event's callback has the
effects of that carried out after those that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..admission import Admission, Verdict
from ..call import CallRequest
from ..effects import Avoid, CancelTimer, Effect, Hop, Report, Send, SetTimer, Source, TimerKey
from ..errors import BadRequest, ParseError, SipError
from ..events import SipEvent
from ..message import Message, parse_message
from ..offer_answer import LocalMedia
from ..registration import RegistrationRequest
from ..sdp import Direction
from ..stack import UserAgentOptions
from ..transaction_layer import key_of_quoted
from ..uri import Uri
from ..user_agent import UserAgent
from .connector import HANDSHAKE_SECONDS, Connector, TlsContexts, TlsNames
from .media_names import MediaNames
from .resolver import Resolver, is_address, usual_port
from .stream import StreamConnection
from .udp import UdpSocket

logger = logging.getLogger(__name__)

OnSipEvent = Callable[[SipEvent], None]
_MOST_CONNECTIONS = 2000
_MOST_FROM_ONE = 50


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen.

    Attributes:
        transport: `UDP`, `TCP` or `TLS`.
        port: 0: any free one.
        host: an IP address; `0.0.0.0` or `::` for all.
        advertised: host and port that peers are told, if they differ, as behind a NAT; port 0: the one listened on.
        tls: certificate and key, for TLS.
    """

    transport: str
    host: str
    port: int
    advertised: tuple[str, int] | None = None
    tls: ssl.SSLContext | None = None


class SipEndpoint:
    """A user agent with sockets. Begin with `start`; the methods are those of `UserAgent`, and events go to `on_event`.

    Attributes:
        user_agent: the pure machine.
        admission: who may talk to us.
        dropped: how many messages were no SIP.
    """

    def __init__(
        self,
        admission: Admission,
        on_event: OnSipEvent,
        tls_context: TlsContexts | None,
        tls_name: TlsNames = str,
    ) -> None:
        self.admission = admission
        self.dropped = 0
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._udp: list[UdpSocket] = []
        self._servers: list[asyncio.Server] = []
        self._resolver = Resolver()
        self._connector = Connector(self, self._resolver, tls_context or _default_tls, tls_name)
        self._media_names = MediaNames(self._resolver, self._deliver, self._spawn)
        self._timers: dict[TimerKey, asyncio.TimerHandle] = {}
        self._queue: deque[Effect] = deque()
        self._draining = False
        self._ready = False
        self._closed = False
        self._leaving: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.addresses: dict[str, tuple[str, int]] = {}
        self.user_agent = UserAgent(UserAgentOptions({"UDP": ("127.0.0.1", 5060)}))

    @classmethod
    async def start(
        cls,
        listeners: list[Listener],
        on_event: OnSipEvent,
        *,
        admission: Admission,
        options: UserAgentOptions | None = None,
        tls_context: TlsContexts | None = None,
        tls_name: TlsNames = str,
    ) -> SipEndpoint:
        """Listen.

        Args:
            on_event: called on the event loop, in order.
            options: of the user agent; `addresses` is filled in here.
            tls_context: for each host that TLS connects to, how to verify it; None: by the system's authorities.
            tls_name: for each host that TLS connects to, the name that its certificate must carry; the host itself unless told.

        Raises:
            OSError: an address is not ours or taken; nothing is left open.
        """
        endpoint = cls(admission, on_event, tls_context, tls_name)
        try:
            for listener in listeners:
                await endpoint._listen(listener)
        except OSError:
            await endpoint.aclose(drain=0.0)
            raise
        options = replace(options or UserAgentOptions({}), addresses=endpoint.addresses)
        endpoint.user_agent = UserAgent(options)
        endpoint._ready = True
        return endpoint

    async def _listen(self, listener: Listener) -> None:
        name = listener.transport.upper()
        if name == "UDP":
            bound = await UdpSocket.bind(listener.host, listener.port, self._datagram, self._refused)
            self._udp.append(bound)
            host, port = bound.address
        else:
            if name == "TLS" and listener.tls is None:
                raise OSError(
                    f"The TLS listener on {listener.host} has no certificate. Give it one, or listen on TCP."
                )
            server = await self._loop.create_server(
                lambda: self._connector.new(name, ours=False),
                listener.host,
                listener.port,
                ssl=listener.tls if name == "TLS" else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if name == "TLS" else None,
                backlog=512,
            )
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
        told = listener.advertised or (_own_address(host), 0)
        self.addresses.setdefault(name, (told[0], told[1] or port))

    # -- what the user asks for ----------------------------------------------------------------------------------------------

    def place_call(self, wanted: CallRequest) -> int:
        """See `UserAgent.place_call`."""
        handle, effects = self.user_agent.place_call(wanted, self._loop.time())
        self._perform(effects)
        return handle

    def ring(
        self,
        call: int,
        *,
        code: int = 180,
        media: LocalMedia | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """See `UserAgent.ring`."""
        self._perform(self.user_agent.ring(call, self._loop.time(), code=code, media=media, headers=headers))

    def answer(self, call: int, media: LocalMedia, *, headers: Mapping[str, str] | None = None) -> None:
        """See `UserAgent.answer`."""
        self._perform(self.user_agent.answer(call, media, self._loop.time(), headers=headers))

    def hang_up(
        self,
        call: int,
        *,
        code: int = 480,
        phrase: str = "",
        reason: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """See `UserAgent.hang_up`."""
        now = self._loop.time()
        self._perform(
            self.user_agent.hang_up(call, now, code=code, phrase=phrase, reason=reason, headers=headers)
        )

    def hold(self, call: int, direction: Direction) -> None:
        """See `UserAgent.hold`."""
        self._perform(self.user_agent.hold(call, direction, self._loop.time()))

    def transfer(self, call: int, target: Uri) -> None:
        """See `UserAgent.transfer`."""
        self._perform(self.user_agent.transfer(call, target, self._loop.time()))

    def report_transfer(self, call: int, code: int) -> None:
        """See `UserAgent.report_transfer`."""
        self._perform(self.user_agent.report_transfer(call, code, self._loop.time()))

    def send_digit(self, call: int, digit: str, *, duration: float = 0.16) -> None:
        """See `UserAgent.send_digit`."""
        self._perform(self.user_agent.send_digit(call, digit, self._loop.time(), duration=duration))

    def register(self, wanted: RegistrationRequest) -> int:
        """See `UserAgent.register`."""
        handle, effects = self.user_agent.register(wanted, self._loop.time())
        self._perform(effects)
        return handle

    def unregister(self, registration: int) -> None:
        """See `UserAgent.unregister`."""
        self._perform(self.user_agent.unregister(registration, self._loop.time()))

    def ping(self, target: Uri, *, hop: Hop | None = None) -> int:
        """See `UserAgent.ping`."""
        handle, effects = self.user_agent.ping(target, self._loop.time(), hop=hop)
        self._perform(effects)
        return handle

    async def aclose(self, *, drain: float = 5.0) -> None:
        """Hang up every call, take registrations back, wait for the answers, and close.

        Args:
            drain: seconds to wait at most.
        """
        if self._closed:
            return
        self._perform(self.user_agent.leave(self._loop.time()))
        self._leaving = asyncio.Event()
        if not self.user_agent.is_idle:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await self._leaving.wait()
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        await self._connector.aclose()
        for bound in self._udp:
            await bound.aclose()

    # -- from the wire -------------------------------------------------------------------------------------------------------

    def _datagram(self, data: bytes, host: str, port: int) -> None:
        source = self._admit("UDP", host, port, 0)
        if source is not None and data.strip(b"\r\n\0 "):
            self._take(data, source, stream=False)

    def _refused(self, quoted: bytes) -> None:
        """A datagram of ours reached nobody (RFC 3261 section 18.4)."""
        key = key_of_quoted(quoted)
        if key is not None and not self._closed:
            self._loop.call_soon(self._report_failure, key)

    def opened(self, connection: StreamConnection) -> bool:
        """A connection came, or one of ours is there."""
        host, port = connection.peer
        if connection.ours:
            self.admission.learn(host, self._loop.time())
        too_many = (
            len(self._connector.open) >= _MOST_CONNECTIONS
            or self._connector.count_from(host) >= _MOST_FROM_ONE
        )
        if self._closed or too_many or self._admit(connection.transport_name, host, port, 0) is None:
            return False
        self._connector.add(connection)
        return True

    def received(self, connection: StreamConnection, data: bytes) -> None:
        """A message came by a connection."""
        source = self._admit(connection.transport_name, *connection.peer, connection.number)
        if source is not None:
            self._take(data, source, stream=True)

    def closed(self, connection: StreamConnection) -> None:
        """A connection is gone."""
        self._connector.remove(connection)

    def _admit(self, transport: str, host: str, port: int, connection: int) -> Source | None:
        """The source of a message that may be looked at; None: drop it without a word to its sender."""
        now = self._loop.time()
        verdict, trunk = self.admission.judge(host, now)
        if verdict in (Verdict.ADMITTED, Verdict.LEARNED):
            return Source(transport, host, port, connection, trunk, verdict is Verdict.ADMITTED)
        if self.admission.should_log(host, now):
            logger.warning("sip: refused %s (%s, %s)", host, transport, verdict.value)
        return None

    def _take(self, data: bytes, source: Source, *, stream: bool) -> None:
        if not self._ready:
            return  # Not every listener is there yet; the peer will send it again.
        now = self._loop.time()
        try:
            message = parse_message(data, stream=stream)
        except BadRequest as fault:
            self._perform(self.user_agent.receive_bad(fault, source, now))
        except ParseError as error:
            self.dropped += 1
            logger.debug("sip: dropped a message from %s: %s", source.host, error)
        else:
            if not self._media_names.holds(message, source):
                self._deliver(message, source)

    def _deliver(self, message: Message, source: Source) -> None:
        try:
            effects = self.user_agent.receive(message, source, self._loop.time())
        except SipError as error:
            # The user agent tripped over a field that it did not expect; the next message may be fine.
            self.dropped += 1
            logger.warning("sip: a message from %s could not be handled: %s", source.host, error)
            return
        self._perform(effects)

    # -- effects -------------------------------------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        self._queue += effects
        if self._draining:
            return
        self._draining = True
        try:
            while self._queue:
                self._carry_out(self._queue.popleft())
        finally:
            self._draining = False
        if self._leaving is not None and self.user_agent.is_idle:
            self._leaving.set()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case Avoid(server, seconds):
                self._resolver.avoid(server, seconds)
            case SetTimer(key, at):
                self._forget_timer(key)
                self._timers[key] = self._loop.call_at(at, self._timer_fired, key)
            case CancelTimer(key):
                self._forget_timer(key)
            case Report(event):
                self._tell(event)

    def _tell(self, event: SipEvent) -> None:
        """A user that fails must not keep the effects behind its event from being carried out."""
        try:
            self._on_event(event)
        except Exception as error:
            context = {
                "message": f"The handler of the SIP event {type(event).__name__} failed",
                "exception": error,
            }
            self._loop.call_exception_handler(context)

    def _forget_timer(self, key: TimerKey) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _timer_fired(self, key: TimerKey) -> None:
        self._timers.pop(key, None)
        self._perform(self.user_agent.timer_fired(key, self._loop.time()))

    def _send(self, send: Send) -> None:
        hop = send.hop
        known = hop.server is not None or is_address(hop.host)
        if hop.transport == "UDP" and known:
            self._send_datagram(send, *(hop.server or (hop.host, hop.port or usual_port("UDP"))))
            return
        connection = None if hop.transport == "UDP" else self._connector.find(hop)
        if connection is not None and connection.send(send.data):
            return
        self._spawn(self._connect_and_send(send) if known else self._look_up_and_send(send))

    def _send_datagram(self, send: Send, host: str, port: int) -> None:
        self.admission.learn(host, self._loop.time())
        bound = self._socket_for(host)
        if bound is None or not bound.send(send.data, host, port):
            self._failed(send)

    def _socket_for(self, host: str) -> UdpSocket | None:
        """The socket of the same IP version; None: there is none."""
        return next((one for one in self._udp if (":" in one.address[0]) == (":" in host)), None)

    async def _look_up_and_send(self, send: Send) -> None:
        try:
            servers = await self._resolver.servers(send.hop)
        except (OSError, UnicodeError) as error:
            logger.warning("sip: %s cannot be looked up: %s", send.hop.host, error)
            self._failed(send)
            return
        if send.key is None and send.hop.transport != "UDP":
            await self._connect_and_send(send)  # to whichever takes the connection
            return
        if send.hop.transport == "UDP":
            servers = [server for server in servers if self._socket_for(server[0])] or servers
        if send.key is not None:
            self._perform(self.user_agent.servers_found(send.key, servers, self._loop.time()))
        send = replace(send, hop=replace(send.hop, server=servers[0]))
        if send.hop.transport == "UDP":
            self._send_datagram(send, *servers[0])
        else:
            await self._connect_and_send(send)

    async def _connect_and_send(self, send: Send) -> None:
        connection = await self._connector.connect(send.hop) or self._connector.last_resort(send.hop)
        if send.key is not None and not self.user_agent.awaits(send.key):
            return  # It took so long that another server has the request by now.
        if connection is None or not connection.send(send.data):
            self._failed(send)

    def _failed(self, send: Send) -> None:
        """Reported from the loop, never from within the user agent's own turn."""
        if send.key is not None and not self._closed:
            self._loop.call_soon(self._report_failure, send.key)

    def _report_failure(self, key: TimerKey) -> None:
        if not self._closed:
            self._perform(self.user_agent.transport_failed(key, self._loop.time()))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _own_address(host: str) -> str:
    """The address to tell peers: that of a listener, or where it listens on all, the one that leads to the internet."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, outside = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))  # Looks the route up; nothing is sent.
        except OSError:
            return "::1" if ":" in host else "127.0.0.1"
        return str(probe.getsockname()[0])


def _default_tls(host: str) -> ssl.SSLContext:
    """Certificates are verified by the system's authorities, and must carry the host's name."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
