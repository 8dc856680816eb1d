"""What the pure SIP machines ask of whoever owns the sockets and the clock."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from .events import SipEvent

TimerKey = tuple[Hashable, ...]
Server = tuple[str, int]  # IP address and port


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a message goes next.

    Attributes:
        transport: `UDP`, `TCP` or `TLS`.
        host: an IP address (IPv6 without brackets) or a name to look up; of a TLS peer, the name its certificate must carry.
        port: 0: none is known, so a name is looked up as a service (RFC 3263 section 4.2), and an address has the usual one.
        connection: an open connection to use; 0: none. If it is gone, one to host and port is opened.
        server: which of the servers that the name leads to; None: the name is to be looked up.
    """

    transport: str
    host: str
    port: int
    connection: int = 0
    server: Server | None = None

    @property
    def reliable(self) -> bool:
        """Whether the transport retransmits by itself."""
        return self.transport != "UDP"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from.

    Attributes:
        connection: the connection it came by; 0: none (UDP).
        trunk: to which trunk the address belongs; empty: to none. See `admission.py`.
        may_begin: whether requests outside of dialogs are taken from it; else they get no reply.
    """

    transport: str
    host: str
    port: int
    connection: int = 0
    trunk: str = ""
    may_begin: bool = True


@dataclass(frozen=True, slots=True)
class Send:
    """Send the octets.

    Attributes:
        key: to report a failure under, by `UserAgent.transport_failed`; None: nobody cares.
    """

    hop: Hop
    data: bytes
    key: TimerKey | None = None


@dataclass(frozen=True, slots=True)
class Avoid:
    """A server failed while there were others: for so many seconds it comes last."""

    server: Server
    seconds: float


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call `UserAgent.timer_fired` with the key at time `at`; replaces a timer with the same key."""

    key: TimerKey
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """The timer is not needed any more."""

    key: TimerKey


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the user."""

    event: SipEvent


Effect = Send | Avoid | SetTimer | CancelTimer | Report
