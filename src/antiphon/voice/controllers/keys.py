"""Makes the keys that a caller presses a turn of theirs, so that the agent can ask for a number and get it by keypad."""

from __future__ import annotations

from dataclasses import dataclass

from ...rooms import DTMFEvent, Room, RoomEvent
from ...turns import AgentState
from .controller import Controller

_MOST = 64


@dataclass(frozen=True)
class KeysOptions:
    """How keys become a turn.

    Attributes:
        pause: seconds after a key in which another one belongs to the same turn.
        last: a key that ends the turn at once; empty: none.
        text: what the conversation shows; `{keys}` is what was pressed.
    """

    pause: float = 2.0
    last: str = "#"
    text: str = "DTMF: {keys}"

    def __post_init__(self) -> None:
        if self.pause <= 0:
            raise ValueError(f"keys: pause is {self.pause:g} s; it must be positive")
        if "{keys}" not in self.text:
            raise ValueError("keys: text must contain {keys}")


class KeysController(Controller):
    """Collects keys, and has them answered as if the caller had said them.

    A key interrupts what the agent says, as speech does. Keys on hold are of nobody, and are dropped.
    """

    def __init__(self, options: KeysOptions | None = None, *, room: Room | None = None) -> None:
        """Prepare.

        Args:
            room: where a telephone presses keys; None: `press` is the only way.
        """
        super().__init__()
        self.options = options or KeysOptions()
        self._room = room
        self._keys = ""

    def press(self, key: str) -> None:
        """A key was pressed: `0`-`9`, `*`, `#`, `A`-`D`."""
        if not self.attached or self.suspended:
            return
        if self.session.agent_state is AgentState.SPEAKING:
            self.session.interrupt()
        self._keys += key
        if key == self.options.last or len(self._keys) >= _MOST:
            self._complete()
        else:
            self._set_timer("pause", self._now() + self.options.pause, self._complete)

    def _attached(self) -> None:
        if self._room is not None:
            self._room.on(RoomEvent.SIP_DTMF_RECEIVED, self._on_key)

    def _on_key(self, event: DTMFEvent) -> None:
        self.press(event.digit)

    def _complete(self) -> None:
        self._cancel_timer("pause")
        keys, self._keys = self._keys, ""
        self.session.generate_reply(user_input=self.options.text.format(keys=keys))

    def _suspend(self) -> None:
        super()._suspend()
        self._keys = ""

    def _detach(self) -> None:
        if self._room is not None:
            self._room.off(RoomEvent.SIP_DTMF_RECEIVED, self._on_key)
        super()._detach()
