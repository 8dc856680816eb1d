"""What a session does about failing providers: report, apologise, and give up after too many failures in a row."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..models.errors import ConfigurationError, describe
from ..models.tts import TTS
from .events import ErrorOccurred, SessionEvent
from .options import SessionOptions

logger = logging.getLogger(__name__)

EMERGENCY_VOICE = "local/espeak"


class ProviderHealth:
    """Counts failures in a row, per kind of provider."""

    def __init__(
        self,
        options: SessionOptions,
        emit: Callable[..., None],
        give_up: Callable[[BaseException], None],
    ) -> None:
        self._options = options
        self._emit = emit
        self._give_up = give_up
        self._failures: dict[str, int] = {}
        self._emergency_voice: TTS | None = None

    def worked(self, kind: str) -> None:
        self._failures.pop(kind, None)

    def failed(self, kind: str, error: BaseException, *, limit: int | None = None) -> str:
        """Note a failure of `kind` (`"llm"`, `"tts"`, `"stt"`).

        Args:
            kind: which provider failed.
            error: how.
            limit: with one, nothing is said before so many failures in a row.

        Returns:
            What to tell the listener; empty when nothing.
        """
        count = self._failures[kind] = self._failures.get(kind, 0) + 1
        enough = count >= (limit or self._options.max_unrecoverable_errors)
        last = enough or isinstance(error, ConfigurationError)
        logger.error(
            "%s failed (%d in a row): %s",
            kind,
            count,
            describe(error),
            exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
        )
        self._emit(SessionEvent.ERROR, ErrorOccurred(error, source=kind, recoverable=not last))
        if last:
            self._give_up(error)
            return self._options.farewell
        return self._options.apology if limit is None else ""

    def report(self, source: str, error: BaseException) -> None:
        """Tell listeners of an error that changes nothing for the session."""
        self._emit(SessionEvent.ERROR, ErrorOccurred(error, source=source))

    def emergency_voice(self, failed: TTS | None) -> TTS | None:
        """The built-in voice, to say that the chosen one failed; None when it is not installed or failed itself."""
        if self._emergency_voice is None:
            from ..models import registry

            try:
                self._emergency_voice = registry.resolve_tts(EMERGENCY_VOICE)
            except ConfigurationError as error:
                logger.warning("no voice is left to apologise with: %s", error)
                return None
        voice = self._emergency_voice
        return None if failed is not None and type(failed) is type(voice) else voice

    async def aclose(self) -> None:
        if self._emergency_voice is not None:
            await self._emergency_voice.aclose()
