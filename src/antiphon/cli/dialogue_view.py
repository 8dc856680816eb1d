"""A conversation as lines in a terminal, live."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..voice import (
    AgentSession,
    Backchannel,
    ConversationItemAdded,
    ErrorOccurred,
    FunctionToolsExecuted,
    MetricsCollected,
    SessionEvent,
    TurnLatency,
)

if TYPE_CHECKING:
    from rich.console import Console


class DialogueView:
    """Prints what was said, when, and which tools ran."""

    def __init__(
        self,
        console: Console,
        agent: str,
        *,
        now: Callable[[], float] | None = None,
        show_user: bool = True,
    ) -> None:
        """Prepare it.

        Args:
            console: where to print.
            agent: what to call the agent.
            now: seconds to show with each line, none below 0; None: no times.
            show_user: False when the user sees his own words anyway, as in a terminal where he types.
        """
        self._console = console
        self._agent = agent
        self._now = now
        self._show_user = show_user
        self._answer_began: float | None = None
        self._latency: TurnLatency | None = None

    def attach(self, session: AgentSession[Any]) -> None:
        """Show what happens in `session` from its start on."""
        session.on(SessionEvent.CONVERSATION_ITEM_ADDED, self._item_added)
        session.on(SessionEvent.METRICS_COLLECTED, self._measured)
        session.on(SessionEvent.FUNCTION_TOOLS_EXECUTED, self._tools_executed)
        session.on(SessionEvent.BACKCHANNEL, self._backchannel)
        session.on(SessionEvent.ERROR, self._error)

    def _line(self, who: str, text: str, style: str, *, at: float | None = None, note: str = "") -> None:
        from rich.text import Text

        line = Text()
        if self._now is not None:
            at = self._now() if at is None else at
            line.append(f"{at:7.2f}  " if at >= 0 else " " * 9, style="dim")
        line.append(f"{who:>{max(5, len(self._agent))}}  ", style=f"bold {style}")
        line.append(text)
        if note:
            line.append(f"  {note}", style="dim")
        self._console.print(line)

    def _item_added(self, event: ConversationItemAdded) -> None:
        item = event.item
        if item.role == "user":
            if self._show_user:
                self._line("you", item.content, "cyan")
        elif item.role == "assistant":
            note = "(interrupted)" if item.interrupted else ""
            if self._latency is not None and self._latency.total is not None:
                note = f"{note} {self._latency.total:.2f} s".strip()
            self._line(self._agent, item.content, "green", at=self._answer_began, note=note)
            self._answer_began = self._latency = None

    def _measured(self, event: MetricsCollected) -> None:
        self._answer_began = self._now() if self._now is not None else None
        self._latency = event.latency if event.latency.end_of_speech is not None else None

    def _tools_executed(self, event: FunctionToolsExecuted) -> None:
        for tool in event.tools:
            text = f"{tool.call.name}({tool.call.arguments}) → {tool.output}"
            self._line("tool", text, "red" if tool.is_error else "magenta")

    def _backchannel(self, event: Backchannel) -> None:
        self._line("you", f"({event.text})", "cyan")

    def _error(self, event: ErrorOccurred) -> None:
        self._line("error", f"{event.source}: {event.error}", "red")
