"""What an SDP offer must have before anything is opened for it."""

from __future__ import annotations

from aiortc.sdp import MediaDescription, SessionDescription

from ....models.errors import AntiphonError


class OfferRejected(AntiphonError):
    """An SDP offer cannot be answered; the message says why."""


def check_offer(sdp: str) -> str:
    """Check an offer, and leave out what we cannot use.

    Host candidates that a browser hides behind an mDNS name are dropped: resolving them takes a multicast query that
    most networks swallow, and the browser reaches us by our candidates anyway (it then shows up as a peer-reflexive
    candidate, RFC 8445 section 7.3.1.3).

    Returns:
        The offer to answer.

    Raises:
        OfferRejected: it is no SDP, has no audio section, no Opus, or lacks ICE or DTLS parameters.
    """
    lines = sdp.splitlines()
    kept = [line for line in lines if not (line.startswith("a=candidate:") and ".local " in line)]
    if len(kept) != len(lines):
        kept = [line for line in kept if line != "a=end-of-candidates"]
    usable = "\r\n".join(kept) + "\r\n"
    if not sdp.startswith("v=0"):
        raise OfferRejected("the offer is not SDP: it does not begin with v=0")
    try:
        description = SessionDescription.parse(usable)
    except Exception as error:  # whatever a parser of a stranger's text may raise
        raise OfferRejected(f"the offer is not valid SDP: {type(error).__name__}: {error}") from error
    audio = [media for media in description.media if media.kind == "audio" and media.port]
    if not audio:
        raise OfferRejected("the offer has no audio section; offer one even if only to listen")
    for media in audio:
        _check_audio(media)
    return usable


def _check_audio(media: MediaDescription) -> None:
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise OfferRejected("the audio section has no ICE credentials (a=ice-ufrag, a=ice-pwd)")
    if media.dtls is None or not media.dtls.fingerprints:
        raise OfferRejected("the audio section has no DTLS fingerprint (a=fingerprint)")
    if not media.rtcp_mux:
        raise OfferRejected("the audio section does not multiplex RTCP (a=rtcp-mux)")
    if not any(codec.mimeType.lower() == "audio/opus" for codec in media.rtp.codecs):
        raise OfferRejected(
            "the audio section does not offer Opus, which every browser has (RFC 7874 section 3)"
        )
