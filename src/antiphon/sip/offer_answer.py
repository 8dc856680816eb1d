"""Offer and answer: what each side may send, in which codec, where to.

`MediaSession` is one side of one call. The user agent feeds it with the peer's descriptions and sends what it makes;
`telephony` gives it a `LocalMedia` and gets a `NegotiatedMedia` whenever something changed.

An offer is answered with the mirrored direction, cut down by our own; a hold is any offer in which the peer no longer receives:
`sendonly`, `inactive`, or the address 0.0.0.0 of RFC 2543, at session or media level.

Source: RFC 3264; RFC 6337 sections 3 and 5.3; RFC 4568 (SDES); RFC 5761 (`rtcp-mux`, taken but not offered).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from .audio_formats import (
    CODECS,
    EVENT_TYPES,
    also_received,
    codec_attributes,
    event_attributes,
    is_same,
    number_in,
)
from .errors import MediaNotAcceptable
from .sdes import KEY_OCTETS, SUITE, best_crypto, key_of, mki_octets
from .sdp import Attribute, Crypto, Direction, MediaDescription, RtpMap, SessionDescription, direction

NOWHERE = frozenset({"0.0.0.0", "::"})
_PLAIN, _SECURE = frozenset({"RTP/AVP", "RTP/AVPF"}), frozenset({"RTP/SAVP", "RTP/SAVPF"})


class Srtp(StrEnum):
    """Whether media is encrypted with keys from the description."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What we have to offer on a call.

    Attributes:
        address: IP address at which we receive RTP.
        port: of RTP; RTCP is one higher.
        codecs: names from `CODECS`, the favourite first.
        dtmf: whether we take and send digits as RFC 4733 events.
        direction: what we want; `SENDONLY` and `INACTIVE` put the peer on hold.
        ptime: milliseconds a packet that we want to receive.
        prefer_own_order: choose by our order instead of the offerer's.
    """

    address: str
    port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    dtmf: bool = True
    srtp: Srtp = Srtp.OFF
    direction: Direction = Direction.SENDRECV
    ptime: int = 20
    prefer_own_order: bool = False


@dataclass(frozen=True, slots=True)
class NegotiatedMedia:
    """What both sides agreed on.

    Attributes:
        address, port: where to send RTP; meaningless while `direction` does not send.
        rtcp_port: where to send RTCP.
        direction: ours: whether we may send, and will receive.
        on_hold: whether the peer holds us.
        codec: name from `CODECS`.
        clock_rate: of its RTP timestamps.
        send_payload_type, receive_payload_type: of its packets; they may differ.
        also_received: further payload types that the peer may use, each with its codec.
        dtmf_send_type, dtmf_receive_type: payload types of RFC 4733 events; None: the peer takes none, or sends none.
        dtmf_clock_rate: of the events' timestamps.
        comfort_noise: the peer may send payload type 13.
        ptime: milliseconds a packet that the peer wants to receive, or receives at most.
        send_key, receive_key: SRTP master key and salt, 30 octets each; None: not encrypted.
        suite: of both keys, as `AES_CM_128_HMAC_SHA1_80`; empty: not encrypted.
        receive_mki: octets in the peer's packets that name its key.
        parameters: the peer's format parameters of the codec.
        rtcp_mux: reports share the port of the audio (RFC 5761).
        round: counts the peer's descriptions; a repeated one has the same `o=` (RFC 3264 section 8).
    """

    address: str
    port: int
    rtcp_port: int
    direction: Direction
    on_hold: bool
    codec: str
    clock_rate: int
    send_payload_type: int
    receive_payload_type: int
    dtmf_send_type: int | None = None
    dtmf_receive_type: int | None = None
    dtmf_clock_rate: int = 8000
    comfort_noise: bool = False
    ptime: int = 20
    send_key: bytes | None = None
    receive_key: bytes | None = None
    parameters: str = ""
    suite: str = ""
    receive_mki: int = 0
    also_received: tuple[tuple[int, str], ...] = ()
    rtcp_mux: bool = False
    round: int = 0


def peer_holds(session: SessionDescription, media: MediaDescription) -> bool:
    """Whether the description puts us on hold (RFC 3264 section 8.4)."""
    return not _peer_direction(session, media).receives


def _peer_direction(session: SessionDescription, media: MediaDescription) -> Direction:
    """The peer's direction; the address 0.0.0.0 means that it receives nothing."""
    stated = session.direction_of(media)
    if session.address_of(media) in NOWHERE:
        return direction(sends=stated.sends, receives=False)
    return stated


class MediaSession:
    """Our side of the descriptions of one call. Nothing changes before an offer and its answer are both there.

    Attributes:
        negotiated: what holds now; None: nothing yet.
        offering: whether an offer of ours waits for its answer.
    """

    def __init__(self, local: LocalMedia, session_id: int, random_bytes: Callable[[int], bytes]) -> None:
        self.local = local
        self.negotiated: NegotiatedMedia | None = None
        self.offering = False
        self._id = session_id
        self._version = session_id
        self._last: SessionDescription | None = None
        self._key = random_bytes(KEY_OCTETS)
        self._lines: tuple[MediaDescription, ...] = ()
        self._types: dict[str, int] = {}
        self._round, self._peer_origin = 0, ""

    # -- our offer ---------------------------------------------------------------------------------------------------------

    def offer(self, wanted: Direction | None = None) -> bytes:
        """An offer for the call's beginning or its change; the answer goes to `take_answer`.

        Args:
            wanted: a new direction of ours; None: as it was.
        """
        if wanted is not None:
            self.local = replace(self.local, direction=wanted)
        self.offering = True
        audio = self._offered_audio()
        lines = list(self._lines) or [audio]
        index = self._audio_index(lines)
        lines[index] = audio
        return self._describe([line if i == index else _refused(line) for i, line in enumerate(lines)])

    def take_answer(self, session: SessionDescription) -> NegotiatedMedia:
        """What follows from the answer to our last offer.

        Raises:
            MediaNotAcceptable: it refuses audio, or chose what was not offered; the old agreement holds.
        """
        self.offering = False
        if not session.media or self._last is None:
            raise MediaNotAcceptable("the answer has no media")
        index = self._audio_index(self._last.media)
        if self.negotiated is not None and _takes_audio_away(session):
            self.negotiated = self._paused(session, self.negotiated)
            return self.negotiated
        if index >= len(session.media) or not session.media[index].port:
            raise MediaNotAcceptable("the answer refuses audio")
        offered, answered = self._last.media[index], session.media[index]
        codec = self._choose(answered, own_order=False)
        if codec is None:
            raise MediaNotAcceptable("the answer has no codec of the offer")
        if not self._reaches(session.address_of(answered)):
            raise MediaNotAcceptable(_no_way("answer", session.address_of(answered)))
        self._remember(offered)
        crypto = self._answered_crypto(offered, answered)
        self.negotiated = self._agree(session, answered, codec, offered, crypto)
        return self.negotiated

    def abandon_offer(self) -> None:
        """Our offer was refused: the old agreement holds (RFC 3261 section 14.1)."""
        self.offering = False

    # -- the peer's offer --------------------------------------------------------------------------------------------------

    def answer(self, session: SessionDescription) -> tuple[bytes, NegotiatedMedia]:
        """Answer an offer of the peer's.

        Raises:
            MediaNotAcceptable: 488 is the answer; the old agreement holds.
        """
        chosen = self._choose_audio(session)
        if chosen is None and self.negotiated is not None and _takes_audio_away(session):
            self._lines = tuple(map(_refused, session.media))
            self.negotiated = self._paused(session, self.negotiated)
            return self._describe(list(self._lines)), self.negotiated
        if chosen is None:
            raise MediaNotAcceptable(self._why_not(session))
        index, codec_map, crypto = chosen
        media = session.media[index]
        theirs = _peer_direction(session, media)
        own = self._own_direction(theirs)
        line = self._answer_line(media, codec_map, crypto, own)
        self._remember(line)
        self._lines = tuple(line if i == index else _refused(m) for i, m in enumerate(session.media))
        body = self._describe(list(self._lines))
        self.negotiated = self._agree(session, media, codec_map, line, crypto)
        return body, self.negotiated

    # -- choosing ----------------------------------------------------------------------------------------------------------

    def _choose_audio(self, session: SessionDescription) -> tuple[int, RtpMap, Crypto | None] | None:
        """The section to accept, its codec, and the key to use; encrypted sections come first where we may encrypt."""
        candidates: list[tuple[bool, int, RtpMap, Crypto | None]] = []
        for index, media in enumerate(session.media):
            if media.kind != "audio" or not media.port:
                continue
            codec = self._choose(media, own_order=self.local.prefer_own_order)
            crypto = best_crypto(media.cryptos)
            encrypts = crypto is not None and self.local.srtp is not Srtp.OFF
            if codec is None or (media.protocol in _SECURE and not encrypts):
                continue
            if not self._reaches(session.address_of(media)):
                continue
            if media.protocol not in _PLAIN | _SECURE or (self.local.srtp is Srtp.REQUIRED and not encrypts):
                continue
            candidates.append((not encrypts, index, codec, crypto if encrypts else None))
        if not candidates:
            return None
        _, index, codec, crypto = min(candidates, key=lambda candidate: candidate[:2])
        return index, codec, crypto

    def _choose(self, media: MediaDescription, *, own_order: bool) -> RtpMap | None:
        """The first codec in common, by the peer's order unless ours is to win (RFC 3264 section 6.1)."""
        possible = [
            t for t in media.payload_types if any(is_same(t, CODECS[name]) for name in self.local.codecs)
        ]
        if own_order:
            ranks = {name: rank for rank, name in enumerate(self.local.codecs)}
            possible.sort(key=lambda payload: ranks[payload.name])
        return possible[0] if possible else None

    def _why_not(self, session: SessionDescription) -> str:
        audio = [media for media in session.media if media.kind == "audio" and media.port]
        if not audio:
            return "the offer has no audio"
        if not any(self._choose(media, own_order=False) for media in audio):
            return f"the offer has none of the codecs {', '.join(self.local.codecs)}"
        addresses = [session.address_of(media) for media in audio]
        if not any(map(self._reaches, addresses)):
            return _no_way("offer", addresses[0])
        if self.local.srtp is Srtp.REQUIRED:
            return f"the offer is not encrypted with {SUITE}, which this trunk requires"
        return "the offer is encrypted in a way that this trunk does not use"

    def _reaches(self, address: str) -> bool:
        """Whether our socket can send there. Names were looked up before; one that is still there cannot be."""
        if address in NOWHERE:
            return True
        try:
            there, here = ipaddress.ip_address(address), ipaddress.ip_address(self.local.address)
        except ValueError:
            return False
        return there.version == here.version and not there.is_multicast

    def _own_direction(self, theirs: Direction) -> Direction:
        mirrored, wanted = theirs.mirrored, self.local.direction
        return direction(
            sends=mirrored.sends and wanted.sends, receives=mirrored.receives and wanted.receives
        )

    # -- describing --------------------------------------------------------------------------------------------------------

    def _offered_audio(self) -> MediaDescription:
        formats: list[str] = []
        attributes: list[Attribute] = []
        codecs = [CODECS[name] for name in self.local.codecs]
        for codec in codecs:
            number = self._types.get(codec.name, codec.payload_type)
            formats.append(str(number))
            attributes += codec_attributes(RtpMap(number, codec.name, codec.clock_rate, codec.channels))
        if self.local.dtmf:
            for clock in sorted({codec.clock_rate for codec in codecs}):
                number = self._types.get(f"EVENT{clock}", EVENT_TYPES[clock])
                formats.append(str(number))
                attributes += event_attributes(number, clock)
        protocol = "RTP/SAVP" if self.local.srtp is Srtp.REQUIRED else "RTP/AVP"
        if self.negotiated and self.negotiated.send_key and self._lines:
            protocol = self._lines[self._audio_index(self._lines)].protocol
        if self.local.srtp is not Srtp.OFF:
            attributes.append(("crypto", str(Crypto(1, SUITE, self._own_key))))
        if self.negotiated and self.negotiated.rtcp_mux:
            attributes.append(("rtcp-mux", None))
        attributes += [("ptime", str(self.local.ptime)), (self.local.direction.value, None)]
        return MediaDescription("audio", self.local.port, protocol, tuple(formats), "", tuple(attributes))

    def _answer_line(
        self, media: MediaDescription, codec: RtpMap, crypto: Crypto | None, own: Direction
    ) -> MediaDescription:
        """One codec and its telephone events, under the offerer's numbers."""
        formats, attributes = [str(codec.payload_type)], codec_attributes(codec)
        event = self._event_type(media, codec.clock_rate)
        if event is not None:
            formats.append(str(event.payload_type))
            attributes += event_attributes(event.payload_type, event.clock_rate)
        if crypto is not None:
            attributes.append(("crypto", str(Crypto(crypto.tag, crypto.suite, self._own_key))))
        if _may_share_port(media):
            attributes.append(("rtcp-mux", None))
        attributes += [("ptime", str(media.ptime or self.local.ptime)), (own.value, None)]
        return MediaDescription(
            "audio", self.local.port, media.protocol, tuple(formats), "", tuple(attributes)
        )

    def _describe(self, media: list[MediaDescription]) -> bytes:
        """The whole; the version of `o=` goes up by one when anything changed (RFC 3264 section 8)."""
        kind = "IP6" if ":" in self.local.address else "IP4"
        origin = "- {} {} IN {} {}"
        address = self.local.address
        fresh = SessionDescription(
            origin.format(self._id, self._version, kind, address), "-", address, (), tuple(media)
        )
        if self._last is not None and fresh != self._last:
            self._version += 1
            fresh = replace(fresh, origin=origin.format(self._id, self._version, kind, address))
        self._last = fresh
        return fresh.to_bytes()

    @property
    def _own_key(self) -> str:
        return base64.b64encode(self._key).decode()

    # -- agreeing ----------------------------------------------------------------------------------------------------------

    def _agree(
        self,
        session: SessionDescription,
        media: MediaDescription,
        codec: RtpMap,
        ours: MediaDescription,
        crypto: Crypto | None,
    ) -> NegotiatedMedia:
        """What follows from the peer's section and `ours`, whose numbers the peer uses (RFC 3264 sections 5.1 and 6.1)."""
        theirs = _peer_direction(session, media)
        event = self._event_type(media, codec.clock_rate)
        event_clock = event.clock_rate if event else 8000
        receive_type = number_in(ours, codec)
        return NegotiatedMedia(
            address=session.address_of(media),
            port=media.port,
            rtcp_port=_rtcp_port(media),
            direction=self._own_direction(theirs),
            on_hold=not theirs.receives,
            codec=codec.name,
            clock_rate=codec.clock_rate,
            send_payload_type=codec.payload_type,
            receive_payload_type=receive_type,
            dtmf_send_type=event.payload_type if event else None,
            dtmf_receive_type=number_in(ours, event) if event else None,
            dtmf_clock_rate=event_clock,
            comfort_noise=any(t.name == "CN" for t in media.payload_types),
            ptime=min(media.ptime or self.local.ptime, media.maxptime or 200),
            send_key=self._key if crypto else None,
            receive_key=key_of(crypto) if crypto else None,
            suite=crypto.suite if crypto else "",
            receive_mki=mki_octets(crypto) if crypto else 0,
            parameters=media.format_parameters(codec.payload_type),
            also_received=also_received(media, ours, receive_type),
            rtcp_mux=ours.has("rtcp-mux") and media.has("rtcp-mux"),
            round=self._new_round(session),
        )

    def _paused(self, session: SessionDescription, negotiated: NegotiatedMedia) -> NegotiatedMedia:
        """The peer took its audio away for now, a hold as well; a later offer brings it back (RFC 3264 section 8.2)."""
        return replace(
            negotiated,
            direction=Direction.INACTIVE,
            on_hold=True,
            port=0,
            rtcp_port=0,
            round=self._new_round(session),
        )

    def _new_round(self, session: SessionDescription) -> int:
        if session.origin != self._peer_origin:
            self._round, self._peer_origin = self._round + 1, session.origin
        return self._round

    def _answered_crypto(self, offered: MediaDescription, answered: MediaDescription) -> Crypto | None:
        """The key that answers ours.

        Raises:
            MediaNotAcceptable: encryption was offered as a must and is missing, or came unasked.
        """
        crypto = best_crypto(c for c in answered.cryptos if c.suite == SUITE)
        if self.local.srtp is Srtp.OFF:
            crypto = None
        secure = answered.protocol in _SECURE
        if answered.protocol not in _PLAIN | _SECURE or (secure and crypto is None):
            raise MediaNotAcceptable(f"the answer has no key for {SUITE}")
        if offered.protocol in _SECURE and not secure:
            raise MediaNotAcceptable("the answer takes encryption away")
        if self.local.srtp is Srtp.REQUIRED and crypto is None:
            raise MediaNotAcceptable(f"the answer is not encrypted with {SUITE}, which this trunk requires")
        return crypto

    def _event_type(self, media: MediaDescription, clock_rate: int) -> RtpMap | None:
        """The telephone events to use: those on the codec's clock, else any (RFC 4733 section 2.1)."""
        if not self.local.dtmf:
            return None
        events = [
            t for t in media.payload_types if t.name == "TELEPHONE-EVENT" and t.clock_rate in EVENT_TYPES
        ]
        return min(events, key=lambda event: event.clock_rate != clock_rate, default=None)

    def _remember(self, line: MediaDescription) -> None:
        """Payload types keep their meaning for the whole call (RFC 3264 section 8.3.2)."""
        for payload in line.payload_types:
            name = f"EVENT{payload.clock_rate}" if payload.name == "TELEPHONE-EVENT" else payload.name
            self._types.setdefault(name, payload.payload_type)
        if not self._lines:
            self._lines = (line,)

    def _audio_index(self, lines: tuple[MediaDescription, ...] | list[MediaDescription]) -> int:
        return next((i for i, line in enumerate(lines) if line.kind == "audio" and line.port), 0)


def _no_way(what: str, address: str) -> str:
    address = re.sub(r"[^A-Za-z0-9.:\-]", "?", address)[:100]
    return f"the {what} wants media at {address}, which is no IP address of our kind, nor the name of one that can be looked up"


def _rtcp_port(media: MediaDescription) -> int:
    """RFC 3605: `a=rtcp`; else one above RTP."""
    for value in media.values("rtcp"):
        text = value.partition(" ")[0]
        if text.isascii() and text.isdigit() and 0 < int(text) <= 65535:
            return int(text)
    return min(media.port + 1, 65535)


def _may_share_port(media: MediaDescription) -> bool:
    """Whether reports may come to the port of the audio: as the peer wishes, unless its payload types look like theirs (RFC 5761 section 4)."""
    return media.has("rtcp-mux") and not any(
        64 <= payload.payload_type <= 95 for payload in media.payload_types
    )


def _takes_audio_away(session: SessionDescription) -> bool:
    """Whether there is audio, all of it with port 0, and nothing in its place."""
    audio = any(media.kind == "audio" for media in session.media)
    return audio and not any(media.port for media in session.media)


def _refused(media: MediaDescription) -> MediaDescription:
    """The same section, refused: order and number of sections never change (RFC 3264 section 6)."""
    return MediaDescription(media.kind, 0, media.protocol, media.formats[:1] or ("0",))
