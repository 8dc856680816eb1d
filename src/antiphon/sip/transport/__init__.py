"""Sockets and timers for the user agent: UDP, TCP and TLS on asyncio.

`SipEndpoint` owns them; everything that decides is in the pure modules above.
"""

from .endpoint import Listener, SipEndpoint

__all__ = ["Listener", "SipEndpoint"]
