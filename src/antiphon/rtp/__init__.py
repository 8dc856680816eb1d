"""Telephone audio on the wire: RTP, RTCP and SRTP, jitter buffer, concealment, keys, codecs, ports, and the media engine."""
