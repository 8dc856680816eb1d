"""SRTP with keys from SDP.

Sources: RFC 3711 (SRTP), RFC 4568 sections 6.1 and 6.2 (SDES: the suites and their parameters).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Any

from ..models.errors import ConfigurationError
from .packet import MalformedPacket

SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
KEY_BYTES = 30  # master key of 16 and salt of 14
_RTCP_TAG = 10  # with either suite (RFC 4568 section 6.2.2)


@dataclass(frozen=True, slots=True)
class SrtpKey:
    """One direction's key, as `a=crypto` carries it.

    Attributes:
        mki: octets in each packet that name the key (RFC 3711 section 3.1); read only, as there is but one key.
    """

    suite: str
    key: bytes
    mki: int = 0

    def __repr__(self) -> str:
        return f"SrtpKey({self.suite})"

    @classmethod
    def generate(cls, suite: str = SUITES[0]) -> SrtpKey:
        """A fresh key for what we send."""
        return cls(suite, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_inline(cls, suite: str, inline: str) -> SrtpKey:
        """Read `inline:<base64>[|lifetime][|MKI:length]`.

        Raises:
            ValueError: the suite is not one of ours, the key is not 30 bytes, or an MKI is asked for.
        """
        if suite not in SUITES:
            raise ValueError(f"SRTP suite {suite!r} is not one of {', '.join(SUITES)}")
        text, *parameters = inline.removeprefix("inline:").split("|")
        if any(":" in parameter for parameter in parameters):
            raise ValueError("an SRTP key with MKI cannot be used")
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("the SRTP key is not base64") from error
        if len(key) != KEY_BYTES:
            raise ValueError(f"the SRTP key has {len(key)} bytes, not {KEY_BYTES}")
        return cls(suite, key)

    @property
    def inline(self) -> str:
        return "inline:" + base64.b64encode(self.key).decode()


class SrtpContext:
    """Protects one direction of one call."""

    def __init__(self, key: SrtpKey, *, inbound: bool) -> None:
        """Make a context.

        Args:
            key: of this direction.
            inbound: it unprotects what comes, rather than protect what goes.

        Raises:
            ConfigurationError: a package is missing.
        """
        try:
            import pylibsrtp
        except ImportError as error:
            raise ConfigurationError(
                'SRTP needs pylibsrtp; pip install "antiphon[platform]" brings it'
            ) from error
        policy: Any = pylibsrtp.Policy(
            key=key.key,
            ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=(
                pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32
                if key.suite.endswith("_32")
                else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
            ),
        )
        self._mki = key.mki
        self._tag = 4 if key.suite.endswith("_32") else _RTCP_TAG
        self._session: Any = pylibsrtp.Session(policy)
        self._error: type[Exception] = pylibsrtp.Error

    def protect(self, datagram: bytes) -> bytes:
        protected: bytes = self._session.protect(datagram)
        return protected

    def protect_rtcp(self, datagram: bytes) -> bytes:
        protected: bytes = self._session.protect_rtcp(datagram)
        return protected

    def unprotect(self, datagram: bytes) -> bytes:
        """Raises MalformedPacket for what is forged, replayed or not SRTP."""
        try:
            plain: bytes = self._session.unprotect(self._without_mki(datagram, self._tag))
        except self._error as error:
            raise MalformedPacket(f"SRTP: {error}") from error
        return plain

    def unprotect_rtcp(self, datagram: bytes) -> bytes:
        """Raises MalformedPacket."""
        try:
            plain: bytes = self._session.unprotect_rtcp(self._without_mki(datagram, _RTCP_TAG))
        except self._error as error:
            raise MalformedPacket(f"SRTCP: {error}") from error
        return plain

    def _without_mki(self, datagram: bytes, tag: int) -> bytes:
        """It stands before the authentication tag, which does not cover it."""
        if not self._mki:
            return datagram
        return datagram[: -tag - self._mki] + datagram[-tag:]
