"""The SIP user agent: messages, transactions, dialogs, offer and answer, all without sockets or clocks; `transport` has those.

Every machine takes the time with each event and returns effects. Source: RFC 3261 and the RFCs named in each module.
"""

from .admission import Admission
from .call import CallRequest
from .digest import Credentials
from .effects import Hop, Source
from .errors import CallStateError, MediaNotAcceptable, SipError, UnsafeValue
from .headers import NameAddr
from .offer_answer import LocalMedia, NegotiatedMedia, Srtp
from .registration import RegistrationRequest
from .sdp import Direction
from .stack import UserAgentOptions
from .uri import OtherUri, SipUri, Uri, address_uri, user_uri
from .user_agent import UserAgent

__all__ = [
    "Admission",
    "CallRequest",
    "CallStateError",
    "Credentials",
    "Direction",
    "Hop",
    "LocalMedia",
    "MediaNotAcceptable",
    "NameAddr",
    "NegotiatedMedia",
    "OtherUri",
    "RegistrationRequest",
    "SipError",
    "SipUri",
    "Source",
    "Srtp",
    "UnsafeValue",
    "Uri",
    "UserAgent",
    "UserAgentOptions",
    "address_uri",
    "user_uri",
]
