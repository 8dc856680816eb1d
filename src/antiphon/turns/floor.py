"""The agent's side of the machine: replies wait, are released, heard, paused, interrupted and dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .effects import DropReply, InterruptPlayout, ReleaseReply, ResumePlayout
from .events import ReplyQueued
from .interruption import Overlap
from .state import Free, Paused, Playing, Released, Reply
from .states import AgentState, UserState
from .transition import AWAY, BARGE_IN, RESUME, Transition


class FloorTransition(Transition):
    """Who has the floor, and who waits for it."""

    def user_speaks(self) -> bool:
        return self.state.user is UserState.SPEAKING

    def overlap_is_noise(self, overlap: Overlap) -> bool:
        return overlap.words == 0 and overlap.duration >= self.state.options.noise_timeout

    def floor_interruptible(self) -> bool:
        match self.state.floor:
            case Released(reply) | Playing(reply) | Paused(reply):
                return reply.interruptible
        return False

    def interrupt(self, *, force: bool = False) -> None:
        """Stop what is heard and what waits behind it, except what must be heard."""
        match self.state.floor:
            case Released(reply) | Playing(reply) | Paused(reply) if reply.interruptible or force:
                self.cancel_timer(BARGE_IN)
                self.cancel_timer(RESUME)
                self.change(floor=Free())
                self.effects.append(InterruptPlayout(reply.id))
        self.drop_waiting("interrupted", lambda reply: reply.interruptible or force)

    def drop_waiting(self, reason: str, which: Callable[[Reply], bool]) -> None:
        """Give up those waiting replies that `which` picks."""
        for reply in self.state.replies:
            if which(reply):
                self.effects.append(DropReply(reply.id, reason))
        self.change(replies=tuple(reply for reply in self.state.replies if not which(reply)))

    def resume(self) -> None:
        match self.state.floor:
            case Paused(reply):
                self.cancel_timer(RESUME)
                self.change(floor=Playing(reply))
                self.effects.append(ResumePlayout())

    def reply_queued(self, event: ReplyQueued) -> None:
        reply = Reply(event.reply, event.interruptible, stopgap=event.stopgap)
        waiting = self.state.replies
        self.change(replies=(reply, *waiting) if event.stopgap else (*waiting, reply))
        self.cancel_timer(AWAY)

    def reply_ready(self, reply: str) -> None:
        if not any(waiting.id == reply for waiting in self.state.replies):
            return
        self.change(replies=tuple(replace(r, ready=True) if r.id == reply else r for r in self.state.replies))
        self.release_next()

    def reply_ended(self, reply: str) -> None:
        self.change(replies=tuple(r for r in self.state.replies if r.id != reply))
        self.release_next()
        self.arm_away()

    def allow_interruptions(self, reply: str, allowed: bool) -> None:
        def updated(old: Reply) -> Reply:
            return replace(old, interruptible=allowed) if old.id == reply else old

        self.change(replies=tuple(updated(waiting) for waiting in self.state.replies))
        match self.state.floor:
            case Released(current) | Playing(current) | Paused(current) as floor:
                self.change(floor=replace(floor, reply=updated(current)))
                if isinstance(floor, Paused) and current.id == reply and not allowed:
                    self.resume()

    def release_next(self) -> None:
        """Let the first waiting reply be heard, if it is ready and nobody else has the floor."""
        if isinstance(self.state.floor, Free):
            self.drop_late_stopgaps()
        state = self.state
        if not isinstance(state.floor, Free) or not state.replies or not state.replies[0].ready:
            return
        overlap = state.overlap
        if overlap is not None and overlap.active and not self.overlap_is_noise(overlap):
            return
        if state.timer(RESUME) is not None:
            return
        first, *rest = state.replies
        self.cancel_timer(AWAY)
        self.change(floor=Released(replace(first, ready=False)), replies=tuple(rest))
        self.effects.append(ReleaseReply(first.id))

    def drop_late_stopgaps(self) -> None:
        """What was to fill a pause is too late once the reply behind it is ready."""
        rest = [reply for reply in self.state.replies if not reply.stopgap]
        if rest and rest[0].ready:
            self.drop_waiting("superseded", lambda reply: reply.stopgap)

    def playout_started(self, reply: str) -> None:
        match self.state.floor:
            case Released(current) if current.id == reply:
                self.change(floor=Playing(current))

    def arm_away(self) -> None:
        timeout = self.state.options.user_away_timeout
        state = self.state
        if timeout is None or state.user_is_away or state.agent is not AgentState.IDLE:
            return
        if state.timer(AWAY) is None:
            self.set_timer(AWAY, self.now + timeout)
