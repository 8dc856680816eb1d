"""The data channel between page and room: JSON messages, described in docs/web-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from aiortc import RTCDataChannel

from ...room import DataPacket, TextMessage

logger = logging.getLogger(__name__)

LABEL = "antiphon"
AGENT_TOPIC = "antiphon"
"""Data packets of this topic reach the page as they are."""
CHAT_TOPIC = "chat"
"""Typed text reaches the room under this topic."""

MAX_MESSAGE = 16_384
MAX_TEXT = 4_000
_MAX_WAITING = 500  # messages kept until the channel opens
_MAX_BUFFERED = 1 << 20  # bytes that a page may leave unread


class DataChannelBridge:
    """Carries messages both ways; a message that breaks the protocol is answered with an error, never with silence.

    Args:
        on_text: called with what the user typed.
        on_bye: called when the page says goodbye, or closes the channel.
    """

    def __init__(self, on_text: Callable[[str], None], on_bye: Callable[[], None]) -> None:
        self._on_text = on_text
        self._on_bye = on_bye
        self._channel: RTCDataChannel | None = None
        self._waiting: deque[str] = deque(maxlen=_MAX_WAITING)
        self.ended = False
        self.messages_received = 0

    def attach(self, channel: RTCDataChannel) -> None:
        """Use the page's channel; what waited for it is sent. Channels of another name are ignored."""
        if channel.label != LABEL or self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._received)
        channel.on("close", self._on_bye)
        while self._waiting:
            self._transmit(self._waiting.popleft())

    def send(self, message: dict[str, Any]) -> None:
        """Send one message, now or when the channel opens."""
        self._send(json.dumps(message, ensure_ascii=False))

    def forward_data(self, packet: DataPacket) -> None:
        """Pass on what the agent publishes for pages."""
        if packet.topic != AGENT_TOPIC:
            return
        try:
            text = packet.data.decode()
            message = json.loads(text)
        except ValueError:
            logger.warning("a data packet on topic %r is not JSON and was not sent to the page", packet.topic)
            return
        if isinstance(message, dict) and message.get("type") == "ended":
            if self.ended:
                return  # the page knows: the call was hung up while the conversation closed
            self.ended = True
        self._send(text)

    def forward_text(self, message: TextMessage) -> None:
        """Pass on what others write."""
        sender = message.participant.identity if message.participant else ""
        self.send({"type": "text", "text": message.text, "topic": message.topic, "from": sender})

    async def drain(self, *, deadline: float) -> None:
        """Wait until everything is on its way, `deadline` seconds at most."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount:
            empty = asyncio.Event()
            channel.on("bufferedamountlow", empty.set)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline):
                    await empty.wait()

    def _send(self, text: str) -> None:
        if self._channel is None:
            self._waiting.append(text)
        else:
            self._transmit(text)

    def _transmit(self, text: str) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > _MAX_BUFFERED:
            logger.warning("a page reads too slowly; a message to it is dropped")
            return
        channel.send(text)

    def _received(self, raw: str | bytes) -> None:
        self.messages_received += 1
        if len(raw) > MAX_MESSAGE:
            self._refuse(f"a message may have {MAX_MESSAGE} characters at most")
            return
        try:
            message = json.loads(raw)
        except ValueError:
            self._refuse("messages are JSON objects")
            return
        match message:
            case {"type": "text", "text": str(text)} if text.strip():
                if len(text) > MAX_TEXT:
                    self._refuse(f"a text may have {MAX_TEXT} characters at most")
                else:
                    self._on_text(text.strip())
            case {"type": "ping", **rest}:
                self.send({"type": "pong", "id": rest.get("id")})
            case {"type": "bye"}:
                self._on_bye()
            case {"type": str(kind)}:
                self._refuse(f"a message of type {kind[:40]!r} is unknown or lacks something")
            case _:
                self._refuse("messages are JSON objects with a type")

    def _refuse(self, why: str) -> None:
        self.send({"type": "error", "message": f"Message not understood: {why}."})
