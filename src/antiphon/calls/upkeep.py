"""Keeps the store tidy: removes what is too old, recordings with their files, and renews the encryption of secrets.

How old is too old is the `retention` of the store. Everything here may happen twice or in several processes at once: what is
gone is gone, and what is encrypted anew stays so.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ..models.errors import AntiphonError, ConfigurationError
from ..store import Document, NotFound, Range, SecretError, Store, Where
from .background_loop import BackgroundLoop

logger = logging.getLogger(__name__)

DAY = 86400.0

# What calls leave behind. Nothing else grows old: an assistant is deleted by whoever made it.
AGEING = ("calls", "call_events", "transcripts", "recordings", "webhook_deliveries")
DEFAULT_RETENTION: Mapping[str, float] = {"webhook_deliveries": 30 * DAY}

# No call is as long as this, so a recording that is said to go on for longer has lost its process.
_LONGEST_RECORDING = 2 * DAY


@dataclass(frozen=True, slots=True)
class UpkeepOptions:
    """When it is done.

    Attributes:
        sweep_seconds: from one sweep to the next.
        reencrypt_seconds: from one look for secrets under an old key to the next; the first is at the start, as a new key comes
            with one.
    """

    sweep_seconds: float = 3600.0
    reencrypt_seconds: float = DAY


def retention_in_seconds(days: Mapping[str, float | None]) -> dict[str, float]:
    """The `retention` of a store from settings in days by collection; those that are not named keep their default.

    Args:
        days: None: kept for ever.

    Raises:
        ConfigurationError: a collection that does not grow old, or a number of days that is not above 0.
    """
    retention = dict(DEFAULT_RETENTION)
    for name, age in days.items():
        if name not in AGEING:
            raise ConfigurationError(f"retention.{name}: only these grow old: {', '.join(AGEING)}")
        if age is None:
            retention.pop(name, None)
        elif age > 0:
            retention[name] = age * DAY
        else:
            raise ConfigurationError(
                f"retention.{name} is {age:g} days; leave it out to keep {name} for ever"
            )
    return retention


class Upkeep:
    """Keeps a store tidy in the background.

    Args:
        store: its `retention` says how long the documents of each collection are kept.
        remove_recording: removes the file of a document of `recordings`, and does nothing if it is gone; it may remove the
            document too. None: there are no files, or none of ours.
    """

    def __init__(
        self,
        store: Store,
        *,
        remove_recording: Callable[[Document], Awaitable[None]] | None = None,
        options: UpkeepOptions | None = None,
    ) -> None:
        self._store = store
        self._remove_recording = remove_recording
        options = options or UpkeepOptions()
        self._sweeping = BackgroundLoop(
            "sweep", self.sweep, interval=options.sweep_seconds, most_backoff=options.sweep_seconds
        )
        self._reencrypting = BackgroundLoop(
            "renewal of secrets",
            self.reencrypt,
            interval=options.reencrypt_seconds,
            most_backoff=options.reencrypt_seconds,
        )

    def start(self) -> None:
        self._sweeping.start()
        self._reencrypting.start()

    async def aclose(self) -> None:
        await self._sweeping.aclose()
        await self._reencrypting.aclose()

    async def sweep(self) -> dict[str, int]:
        """Remove what is too old now; returns how many documents of each collection."""
        recordings = await self._sweep_recordings()
        removed = await self._store.sweep(skip=["recordings"])
        if recordings:
            removed["recordings"] = recordings
        if removed:
            logger.info(
                "removed what is too old: %s",
                ", ".join(f"{count} of {name}" for name, count in sorted(removed.items())),
            )
        return removed

    async def reencrypt(self) -> None:
        """Encrypt secrets that are under an older key with the newest one."""
        try:
            count = await self._store.reencrypt()
        except SecretError as error:
            logger.error("secrets under an old key stay so: %s", error)
            return
        if count:
            logger.info("%d documents have their secrets under the newest key now", count)

    async def _sweep_recordings(self) -> int:
        now = self._store.clock()
        old: list[Where] = [{"deleted_at": Range(lte=now)}, {"expires_at": Range(lte=now)}]
        if (age := self._store.retention.get("recordings")) is not None:
            old.append({"created_at": Range(lte=now - age)})
        removed = 0
        for where in old:
            async for recording in self._store.each("recordings", where, include_deleted=True):
                going_on = (
                    recording.get("state") == "recording"
                    and recording["created_at"] > now - _LONGEST_RECORDING
                )
                if not going_on:
                    removed += await self._remove(recording)
        return removed

    async def _remove(self, recording: Document) -> bool:
        """The file first: a document without one is found again by the next sweep, a file without one by nobody."""
        try:
            if self._remove_recording is not None:
                await self._remove_recording(recording)
        except (OSError, AntiphonError) as error:
            logger.warning("the file of recording %s is removed by a later sweep: %s", recording["id"], error)
            return False
        with contextlib.suppress(NotFound):
            await self._store.delete("recordings", recording["id"], hard=True)
        return True
