"""Telephone calls over SIP trunks: one user agent, its trunks, and the media engines, for all calls of a process."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models.errors import AntiphonError, ConfigurationError
from ..rooms import RoomHost
from ..rooms.local.tick import MediaTick
from ..rtp.media_process import MediaFailed
from ..rtp.port_pool import PortPool, PortsExhausted
from ..sip import events as sip
from ..sip.admission import Admission
from ..sip.call import CallRequest
from ..sip.errors import SipError
from ..sip.offer_answer import LocalMedia, Srtp
from ..sip.registration import RegistrationRequest
from ..sip.stack import UserAgentOptions
from ..sip.transport.endpoint import Listener, SipEndpoint
from ..sip.transport.resolver import Resolver
from ..sip.uri import user_uri
from .bridge import Bridge
from .leg import DialRequest, IncomingCall, Leg, OnLegEvent
from .media_engines import MediaEngines
from .phone_number import InvalidNumber, normalize_caller, normalize_number
from .providers import PROVIDERS
from .sip_leg import RETRY_AFTER, SipLeg
from .sip_trunk import SIP_PROVIDERS, SipTrunk, read_trunk

logger = logging.getLogger(__name__)

OnIncoming = Callable[[IncomingCall], Awaitable[None]]
LOOK_UP_DEADLINE = 5.0
_LONGEST_REST = 3600.0
_NO_TRUNK = ""  # so that only a call's own address may speak for it, not all of its network
_ALL_CODECS = ("OPUS", "G722", "PCMA", "PCMU")


class SipStartError(AntiphonError):
    """The telephone side cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class SipOptions:
    """How this process takes part in SIP.

    Attributes:
        host: address to listen on.
        port: of UDP and TCP; 0: a free one for each.
        transports: which of UDP, TCP and TLS.
        tls_port: of TLS.
        tls_cert, tls_key: PEM files, for TLS.
        advertised_host: what peers are told in place of `host`, as behind a NAT; empty: `host`.
        media_host: address that audio is sent from and received at; empty: `host`.
        advertised_media_host: what peers are told in place of `media_host`.
        rtp_first, rtp_last: range of ports for audio.
        media_processes: how many media engines.
        open_to: networks from which calls are taken without a trunk, as telephones on this machine.
        port_rest: seconds that a port for audio is not used after a call.
    """

    host: str = "127.0.0.1"
    port: int = 5060
    transports: tuple[str, ...] = ("UDP", "TCP")
    tls_port: int = 5061
    tls_cert: str = ""
    tls_key: str = ""
    advertised_host: str = ""
    media_host: str = ""
    advertised_media_host: str = ""
    rtp_first: int = 10000
    rtp_last: int = 19999
    media_processes: int = 1
    open_to: tuple[str, ...] = field(default=("127.0.0.0/8", "::1/128"))
    port_rest: float = 30.0

    def __post_init__(self) -> None:
        unknown = set(self.transports) - {"UDP", "TCP", "TLS"}
        if unknown or not self.transports:
            raise ConfigurationError(
                f"SIP transports are UDP, TCP and TLS, not {', '.join(unknown) or 'none'}"
            )
        if "TLS" in self.transports and not (self.tls_cert and self.tls_key):
            raise ConfigurationError("SIP over TLS needs a certificate and its key")
        for network in self.open_to:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ConfigurationError(f"open_to: {error}") from None
        if self.media_address in ("0.0.0.0", "::", "") and not self.advertised_media_host:
            raise ConfigurationError(
                "calls need one address for audio: set the media host, or what it is known by outside"
            )

    @property
    def media_address(self) -> str:
        return self.media_host or self.host


class SipService:
    """Owns the sockets, trunks, legs and engines. It is the `Dialler` of SIP providers."""

    def __init__(
        self, options: SipOptions, rooms: RoomHost, on_incoming: OnIncoming, *, tick: MediaTick | None = None
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            options: where to listen.
            rooms: where calls meet their agents.
            on_incoming: takes a call that comes in; runs as a task of this service.
            tick: paces the mixing; that of the local rooms, or one of its own.
        """
        self.options = options
        self.engines = MediaEngines(
            PortPool(options.rtp_first, options.rtp_last, quarantine=options.port_rest),
            processes=options.media_processes,
        )
        self._rooms = rooms
        self._on_incoming = on_incoming
        self._tick = tick or MediaTick()
        self._admission = Admission()
        self._endpoint: SipEndpoint | None = None
        self._trunks: dict[str, SipTrunk] = {}
        self._resolver = Resolver()
        self._looked_up: dict[str, list[str]] = {}
        self._sources: dict[str, Sequence[str]] = {}
        self._legs: dict[int, SipLeg] = {}
        self._registrations: dict[str, tuple[SipTrunk, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._resting: dict[str, float] = {}  # trunks that asked to be left alone, and until when
        self._draining = False

    @property
    def calls(self) -> int:
        """SIP calls that are not over."""
        return len(self._legs)

    @property
    def address(self) -> tuple[str, int]:
        """Where telephones reach us, by the first transport."""
        return self._running.addresses[self.options.transports[0]]

    @property
    def registered(self) -> frozenset[str]:
        """Trunks that want a registration."""
        return frozenset(self._registrations)

    async def start(self, trunks: Iterable[Mapping[str, Any]] = ()) -> None:
        """Listen, and start the media engines.

        Raises:
            SipStartError: an address is not ours, or taken, or a media engine cannot be started.
        """
        options = self.options
        try:
            listeners = [self._listener(name) for name in options.transports]
            self._endpoint = await SipEndpoint.start(
                listeners,
                self._sip_event,
                admission=self._admission,
                options=UserAgentOptions({}),
                tls_context=self._tls_context,
                tls_name=self._tls_name,
            )
        except (OSError, ssl.SSLError) as error:
            raise SipStartError(
                f"cannot listen for SIP on {options.host} port {options.port}: {error}; "
                "choose another port, or stop the program that uses it"
            ) from error
        try:
            await self.engines.start()
            await self.set_trunks(trunks)
        except MediaFailed as error:
            await self.aclose()
            raise SipStartError(str(error)) from error
        except BaseException:
            await self.aclose()
            raise

    def _listener(self, name: str) -> Listener:
        options = self.options
        port = options.tls_port if name == "TLS" else options.port
        advertised = (options.advertised_host, 0) if options.advertised_host else None
        context = None
        if name == "TLS":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(options.tls_cert, options.tls_key)
        return Listener(name, options.host, port, advertised, context)

    async def set_trunks(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take the trunks as they are now: whom to trust, where to register.

        Args:
            documents: of the store, secrets revealed; those of other providers are passed over.
        """
        trunks = [read_trunk(one) for one in documents if one.get("provider", "generic") in SIP_PROVIDERS]
        self._trunks = {trunk.id: trunk for trunk in trunks if trunk.active}
        for trunk in self._trunks.values():
            if trunk.transport not in self.options.transports:
                logger.warning(
                    "trunk %s uses %s, but this process does not listen on it: "
                    "a far end that opens a connection of its own to hang up finds nobody; add it to the transports",
                    trunk.id,
                    trunk.transport,
                )
        await self.look_up_trunks()
        self._update_registrations()

    async def look_up_trunks(self) -> None:
        """Trust the addresses that the trunks' names have now; a name that cannot be looked up keeps those of before."""
        sources: dict[str, Sequence[str]] = {_NO_TRUNK: self.options.open_to}
        for trunk in tuple(self._trunks.values()):
            found = await _addresses_of(trunk, self._resolver)
            if found is not None:
                self._looked_up[trunk.address] = found
            sources[trunk.id] = (*trunk.sources, *self._looked_up.get(trunk.address, ()))
        if sources != self._sources:
            self._admission.set_trunks(sources)
            self._sources = sources

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> Leg:
        """See `Dialler.dial`."""
        if self._draining:
            raise AntiphonError("this process is shutting down and places no more calls")
        trunk = read_trunk(request.trunk)
        rest = self._resting.get(trunk.id, 0.0) - asyncio.get_running_loop().time()
        if rest > 0:
            raise AntiphonError(f"the trunk is overloaded (503) and takes no calls for another {rest:.0f} s")
        self._trunks[trunk.id] = trunk  # It may be newer than the last look at all of them.
        provider = PROVIDERS[trunk.provider]
        leg, local = await self._open_leg(trunk, inbound=False)
        leg.on_event = on_event
        try:
            await leg.join(
                request.room,
                request.number,
                self._attributes(trunk.id, request.number, request.caller_number),
            )
            wanted = CallRequest(
                target=provider.target(trunk, request.number),
                from_=provider.from_(trunk, request.caller_number),
                media=local,
                hop=provider.hop(trunk),
                headers={**provider.headers(trunk, request.caller_number), **request.headers},
                credentials=trunk.credentials,
                trunk=trunk.id,
            )
            leg.handle = self._running.place_call(wanted)
        except InvalidNumber as error:
            await leg.aclose()
            raise InvalidNumber(f"{request.number!r} {error}") from error
        except BaseException:
            await leg.aclose()
            raise
        self._legs[leg.handle] = leg
        return leg

    async def aclose(self, *, drain: float = 5.0) -> None:
        """Hang up what is left, take registrations back, stop the engines; safe to call twice."""
        self._draining = True
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.aclose(drain=drain)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        legs, self._legs = list(self._legs.values()), {}
        await asyncio.gather(*(leg.aclose() for leg in legs), return_exceptions=True)
        await self.engines.aclose()

    # -- calls that come in --------------------------------------------------------------------------------------------

    async def _take_call(self, call: sip.IncomingCall) -> None:
        trunk = self._trunks.get(call.trunk)
        provider = PROVIDERS[trunk.provider if trunk is not None else "generic"]
        if self._draining:
            self._refuse(call.call, 503, "Service Unavailable")
            return
        try:
            leg, _ = await self._open_leg(trunk, inbound=True)
        except PortsExhausted as error:
            logger.error("a call was refused with 503: %s", error)
            self._refuse(call.call, 503, "Service Unavailable")
            return
        except AntiphonError as error:
            logger.error("a call was refused with 500: %s", error)
            self._refuse(call.call, 500, "Server Internal Error")
            return
        leg.handle = call.call
        leg.offers_early = call.offer is None and "100rel" in call.headers.tokens("Require")
        if call.call not in self._running.user_agent.calls:
            await leg.aclose()  # the caller gave up meanwhile
            return
        self._legs[call.call] = leg
        region = trunk.default_region if trunk is not None else None
        dialled = _normalized(provider.called_number(call), region)
        caller = normalize_caller(provider.calling_number(call), region)

        async def join(room: str) -> None:
            await leg.join(room, caller, self._attributes(call.trunk, caller, dialled))

        incoming = IncomingCall(
            leg=leg,
            service=provider.name,
            number=dialled,
            caller_number=caller,
            trunk_id="" if trunk is None else trunk.id,
            join=join,
            ring=leg.ring,
            headers=dict(call.headers),
        )
        try:
            await self._on_incoming(incoming)
        except Exception:
            logger.exception("a call from %s could not be taken", call.source)
            await leg.hang_up(500, "error")

    def _refuse(self, handle: int, code: int, phrase: str) -> None:
        headers = {"Retry-After": RETRY_AFTER} if code == 503 else None
        self._running.hang_up(handle, code=code, phrase=phrase, headers=headers)

    # -- both ----------------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> SipEndpoint:
        if self._endpoint is None:
            raise AntiphonError("the telephone side does not run")
        return self._endpoint

    async def _open_leg(self, trunk: SipTrunk | None, *, inbound: bool) -> tuple[SipLeg, LocalMedia]:
        """Ports for the audio, and a leg around them. Raises PortsExhausted, MediaFailed."""
        media = await self.engines.open_call(self.options.media_address)
        try:
            local = LocalMedia(
                address=self.options.advertised_media_host or self.options.media_address,
                port=media.port,
                codecs=trunk.codecs if trunk is not None else _ALL_CODECS,
                srtp=trunk.srtp if trunk is not None else Srtp.OPTIONAL,
            )
            networks = trunk.media_networks or trunk.allowed_sources if trunk is not None else ()
            bridge = Bridge(media, self._rooms, self._tick, networks)
            provider = PROVIDERS[trunk.provider if trunk is not None else "generic"]
            leg = SipLeg(self._running, media, bridge, local, trunk, provider, inbound=inbound)
        except BaseException:
            await media.aclose()
            raise
        return leg, local

    def _attributes(self, trunk_id: str, number: str, ours: str) -> dict[str, str]:
        """Names as LiveKit gives them to a participant that is a telephone."""
        given = {
            "sip.phoneNumber": number,
            "sip.trunkPhoneNumber": ours,
            "sip.trunkID": trunk_id,
            "sip.callStatus": "ringing",
        }
        return {name: value for name, value in given.items() if value}

    def _sip_event(self, event: sip.SipEvent) -> None:
        match event:
            case sip.IncomingCall():
                self._spawn(self._take_call(event))
            case sip.Registered(handle, seconds):
                logger.info("registered with trunk %s for %.0f s", self._trunk_of(handle), seconds)
            case sip.RegistrationFailed(handle, code, phrase, retry):
                again = f"; next try in {retry:.0f} s" if retry is not None else "; it is not tried again"
                logger.error(
                    "trunk %s refuses our registration: %d %s%s", self._trunk_of(handle), code, phrase, again
                )
            case sip.Unregistered() | sip.PingAnswered():
                return
            case _:
                leg = self._legs.get(event.call)
                if leg is None:
                    return
                leg.sip_event(event)
                if isinstance(event, sip.Rejected) and event.code == 503:
                    self._rest(leg.trunk_id, event.headers.get("Retry-After") or "")
                if isinstance(event, sip.Ended | sip.Rejected):
                    del self._legs[event.call]
                    self._spawn(leg.aclose())

    def _rest(self, trunk_id: str, retry_after: str) -> None:
        """A trunk is overloaded and says for how long: until then it gets no other call (RFC 3261 section 21.5.4)."""
        seconds = re.match(r"\d{1,9}", retry_after)
        if seconds and trunk_id:
            rest = min(float(seconds[0]), _LONGEST_REST)
            self._resting[trunk_id] = asyncio.get_running_loop().time() + rest
            logger.warning("trunk %s is overloaded: no calls to it for %.0f s", trunk_id, rest)

    def _update_registrations(self) -> None:
        wanted = {trunk.id: trunk for trunk in self._trunks.values() if trunk.registration}
        for name, (trunk, handle) in tuple(self._registrations.items()):
            if wanted.get(name) != trunk:
                self._running.unregister(handle)
                del self._registrations[name]
        for name, trunk in wanted.items():
            if name in self._registrations:
                continue
            try:
                self._registrations[name] = (trunk, self._running.register(_registration(trunk)))
            except SipError as error:
                logger.error("trunk %s: cannot register: %s", name, error)

    def _trunk_of(self, registration: int) -> str:
        return next((name for name, (_, one) in self._registrations.items() if one == registration), "?")

    def _tls_context(self, host: str) -> ssl.SSLContext:
        """How the certificate of a host is checked: by its trunk."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        trunk = self._trunk_at(host)
        if trunk is not None and not trunk.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _tls_name(self, host: str) -> str:
        trunk = self._trunk_at(host)
        return host if trunk is None else trunk.tls_name

    def _trunk_at(self, host: str) -> SipTrunk | None:
        return next((trunk for trunk in self._trunks.values() if trunk.address == host), None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _registration(trunk: SipTrunk) -> RegistrationRequest:
    user = trunk.credentials.username if trunk.credentials is not None else "antiphon"
    domain = trunk.from_domain or trunk.address
    return RegistrationRequest(
        registrar=user_uri("", domain, trunk.port or None),
        address=user_uri(user, domain),
        credentials=trunk.credentials,
        hop=PROVIDERS[trunk.provider].hop(trunk),
        user=user,
    )


def _normalized(number: str, region: str | None) -> str:
    """What was dialled in E.164 where it is a number, else as it came: a name such as `bank`."""
    try:
        return normalize_number(number, region)
    except InvalidNumber:
        return number


async def _addresses_of(trunk: SipTrunk, resolver: Resolver) -> list[str] | None:
    """IP addresses of the servers of a trunk that is known by name; None: they cannot be looked up now, and the log says so."""
    if not trunk.address or trunk.address in trunk.sources:
        return []
    try:
        async with asyncio.timeout(LOOK_UP_DEADLINE):
            found = await resolver.servers(PROVIDERS[trunk.provider].hop(trunk))
    except (OSError, TimeoutError) as error:
        logger.error("trunk %s: %s cannot be looked up: %s", trunk.id, trunk.address, error or "timed out")
        return None
    return sorted({address for address, _ in found})
