"""Keeps the agent silent and deaf while the call is on hold, so that it does not talk with the music."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ...rooms import DataPacket, Participant, Room, RoomEvent
from ...turns import AgentState
from ..events import AgentStateChanged, ConversationItemAdded, SessionEvent
from .controller import Controller

logger = logging.getLogger(__name__)

TOPIC = "sip_bridge_events"
"""Data packets on this topic tell of the telephone leg: `{"event": "call_hold"}`, `{"event": "call_resume"}`, and others."""

ATTRIBUTE = "sip.hold"
"""`"true"` on a participant whose telephone is on hold: it tells those who join later, and outlives a lost packet."""


class HoldController(Controller):
    """Puts the session on hold and takes it back.

    On hold nothing is said, heard, answered or transcribed. What the caller had heard of a reply before stays in the
    conversation.
    """

    def __init__(self, suspends: Sequence[Controller] = (), *, room: Room | None = None) -> None:
        """Prepare.

        Args:
            suspends: controllers that rest meanwhile: the silence watchdog, the filler, background audio.
            room: where a bridge tells of hold; None: `signal_hold` is the only way.
        """
        super().__init__()
        self._suspends = tuple(suspends)
        self._room = room
        self._room_listeners: list[tuple[str, Callable[..., None]]] = []
        self._on_hold = False

    @property
    def is_on_hold(self) -> bool:
        """For listeners that save transcripts or react to states: while this is true there is nothing to do."""
        return self._on_hold

    def signal_hold(self, on: bool) -> None:
        """The call was put on hold, or taken back. Saying it twice changes nothing."""
        if on is self._on_hold or not self.attached:
            return
        session = self.session
        if on:
            for controller in self._suspends:
                controller.suspend()
            session.interrupt(force=True)  # what was heard so far enters the conversation before hold begins
            self._on_hold = True
            session.hold(True)
        else:
            self._on_hold = False
            session.hold(False)
            for controller in self._suspends:
                controller.resume()

    # -- the room --------------------------------------------------------------------------------------------------

    def _attached(self) -> None:
        self._listen(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
        self._listen(SessionEvent.AGENT_STATE_CHANGED, self._on_agent)
        if self._room is not None:
            self._listen_to_room(self._room)

    def _listen_to_room(self, room: Room) -> None:
        for event, listener in (
            (RoomEvent.DATA_RECEIVED, self._on_data),
            (RoomEvent.ATTRIBUTES_CHANGED, self._on_attributes),
            (RoomEvent.PARTICIPANT_JOINED, self._on_attributes),
            (RoomEvent.PARTICIPANT_LEFT, self._on_left),
        ):
            room.on(event, listener)
            self._room_listeners.append((event, listener))
        for participant in tuple(room.remote_participants.values()):
            self._on_attributes(participant)

    def _detach(self) -> None:
        listeners, self._room_listeners = self._room_listeners, []
        if self._room is not None:
            for event, listener in listeners:
                self._room.off(event, listener)
        super()._detach()

    def _on_data(self, packet: DataPacket) -> None:
        if packet.topic != TOPIC:
            return
        match _event_of(packet.data):
            case "call_hold":
                self.signal_hold(True)
            case "call_resume":
                self.signal_hold(False)

    def _on_attributes(self, participant: Participant) -> None:
        match participant.attributes.get(ATTRIBUTE):
            case "true":
                self.signal_hold(True)
            case "false":
                self.signal_hold(False)

    def _on_left(self, participant: Participant) -> None:
        if participant.attributes.get(ATTRIBUTE) == "true":
            self.signal_hold(False)  # nobody is left to take the call back

    # -- should anything be said all the same ----------------------------------------------------------------------

    def _on_item(self, event: ConversationItemAdded) -> None:
        if self._on_hold and event.item.role == "assistant":
            self.session.interrupt(force=True)

    def _on_agent(self, event: AgentStateChanged) -> None:
        if self._on_hold and event.new_state is AgentState.SPEAKING:
            self.session.interrupt(force=True)


def _event_of(data: bytes) -> Any:
    try:
        message = json.loads(data)
    except ValueError:  # also what is no UTF-8
        logger.warning("a packet on topic %s is no JSON", TOPIC)
        return None
    return message.get("event") if isinstance(message, dict) else None
