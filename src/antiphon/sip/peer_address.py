"""Where requests within a dialog go, and how to keep the way there open.

By RFC 3261 section 12.2.1.1 that is the first route, else the peer's Contact. A telephone behind a NAT gives a Contact of its own
network, which leads nowhere from here; RFC 3581 mends that for responses only. So a request follows the way that the peer's messages
come when there is no route and the Contact cannot be meant for us:

- it is an address of a narrower kind than the one the messages come from (public, private, link, this machine, none), or
- both are private, and the peer was its request's only Via, under the host of the Contact, which is not the host it came from, or
- it is private and the messages come from this machine, by no proxy that we know of.

Any other Contact is believed: a public one, a name, another one of the network that the messages come from. The Request-URI stays
the Contact. Source: RFC 6314 section 4.1, RFC 5853 section 3.4, and RFC 5626 section 3.5 on keeping the way open.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from enum import IntEnum

from .call import Call, Phase
from .dialog import Dialog
from .effects import Hop, Send, Source
from .errors import FieldError
from .headers import parse_via
from .message import Request
from .stack import Stack
from .uri import SipUri

KEEP_OPEN = "keep open"
_KEEP_OPEN_SECONDS = 25.0  # below the half minute after which some routers forget a UDP flow
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)


class _Reach(IntEnum):
    """From how far an address can be reached."""

    NOBODY = 0
    THIS_MACHINE = 1
    LINK = 2
    PRIVATE = 3  # RFC 1918, RFC 6598, RFC 4193
    PUBLIC = 4


def _reach(host: str) -> _Reach | None:
    """None: a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:
        return _Reach.NOBODY
    if address.is_loopback:
        return _Reach.THIS_MACHINE
    if address.is_link_local:
        return _Reach.LINK
    return _Reach.PRIVATE if any(address in one for one in _PRIVATE) else _Reach.PUBLIC


def vias_of(request: Request) -> tuple[str, ...]:
    """The hosts that those give themselves who a request went through, the caller last."""
    return tuple(parse_via(text).host.strip("[]") for text in request.headers.listed("Via"))


def is_behind_nat(contact: str, source: str, vias: tuple[str, ...] = ()) -> bool:
    """Whether a Contact's host is of a network that we cannot reach.

    Args:
        contact, source: IP addresses without brackets; a Contact may be a name.
        vias: of the peer's last request; empty: there was none.
    """
    stated, real = _reach(contact), _reach(source)
    if stated is None or real is None or contact == source:
        return False
    if stated is real is _Reach.PRIVATE:
        return vias == (contact,)
    if real is _Reach.THIS_MACHINE and stated in (_Reach.LINK, _Reach.PRIVATE):
        return len(vias) < 2
    return stated < real


def _follows_source(call: Call, dialog: Dialog, hop: Hop) -> Source | None:
    """The source that requests go to in place of the Contact; None: the Contact is believed."""
    source = call.source
    if source is None or not source.host or dialog.route_set:
        return None
    if isinstance(dialog.target, SipUri) and dialog.target.scheme == "sips" and source.transport != "TLS":
        return None
    return source if is_behind_nat(hop.host, source.host, call.vias) else None


def hop_of_dialog(call: Call, dialog: Dialog) -> Hop:
    """Where a request within the dialog goes; by the peer's connection if it leads there.

    Raises:
        FieldError: the peer gave an address that one cannot send to.
    """
    hop = dialog.hop(call.transport)
    source = _follows_source(call, dialog, hop)
    if source is not None:
        return Hop(source.transport, source.host, source.port, source.connection)
    if call.connection and hop.transport == call.transport:
        hop = replace(hop, connection=call.connection)
    return hop


def keep_open(stack: Stack, call: Call) -> None:
    """Have something sent now and then to a peer behind a NAT, which would forget the call's UDP flow otherwise."""
    if _way_to_keep_open(call) is not None:
        stack.set_timer(("call", call.handle, KEEP_OPEN), _KEEP_OPEN_SECONDS)


def send_keep_alive(stack: Stack, call: Call) -> None:
    """An empty datagram, which peers pass over (RFC 3261 section 7.5)."""
    way = _way_to_keep_open(call)
    if way is not None:
        stack.emit(Send(way, b"\r\n\r\n"))
        keep_open(stack, call)


def _way_to_keep_open(call: Call) -> Hop | None:
    if call.dialog is None or call.phase is not Phase.CONFIRMED:
        return None
    try:
        source = _follows_source(call, call.dialog, call.dialog.hop(call.transport))
    except FieldError:
        return None
    return Hop("UDP", source.host, source.port) if source is not None and source.transport == "UDP" else None
