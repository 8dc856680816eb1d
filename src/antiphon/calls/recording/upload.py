"""Moves complete recordings from the local folder to the storage behind it, however long that takes."""

from __future__ import annotations

import asyncio
import logging
import random

from ...store import NotFound, Store, StoreError
from .info import RecordingUnavailable
from .storage import UPLOAD_DEADLINE, RecordingStorage

logger = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
GIVE_UP_AFTER = 6 * 3600.0
"""Seconds of failed attempts; then the recording stays in the folder until the next start."""
AT_ONCE = 2


class Uploads:
    """Owns the uploads of this process. A recording whose upload did not end is found again at the next start."""

    def __init__(self, store: Store, storage: RecordingStorage) -> None:
        self._store = store
        self._storage = storage
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def count(self) -> int:
        """How many are waiting or under way."""
        return len(self._tasks)

    def begin(self, recording_id: str, name: str) -> None:
        """Upload a file of the local folder; again does nothing while it is under way."""
        if recording_id in self._tasks or self._storage.remote is None:
            return
        task = asyncio.get_running_loop().create_task(
            self._upload(recording_id, name), name=f"upload {recording_id}"
        )
        self._tasks[recording_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(recording_id, None))

    async def forget(self, recording_id: str) -> None:
        """Stop an upload; what is under way in a thread is over before its deadline."""
        if (task := self._tasks.get(recording_id)) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def aclose(self, deadline: float) -> None:
        """Wait for the uploads, then stop them."""
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=deadline)
        for task in late:
            task.cancel()
        if late:
            logger.warning("%d recordings are not uploaded yet; the next start goes on with them", len(late))
            await asyncio.wait(late)

    async def _upload(self, recording_id: str, name: str) -> None:
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), FIRST_PAUSE
        while True:
            try:
                async with self._slots:
                    await self._attempt(recording_id, name)
                return
            except FileNotFoundError:
                logger.error("recording %s cannot be uploaded: its file is gone", recording_id)
                return
            except (RecordingUnavailable, StoreError) as error:
                if isinstance(error, NotFound):
                    return  # it was deleted
                if loop.time() - began > GIVE_UP_AFTER:
                    logger.error("recording %s could not be uploaded and stays here: %s", recording_id, error)
                    return
                logger.warning(
                    "recording %s could not be uploaded, trying again in %.0f s: %s",
                    recording_id,
                    pause,
                    error,
                )
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self, recording_id: str, name: str) -> None:
        local, remote = self._storage.local, self._storage.remote
        assert remote is not None
        await self._storage.run(remote.put, local.path(name), name, deadline=UPLOAD_DEADLINE)
        await self._store.update("recordings", recording_id, {"url": remote.url_of(name), "upload": "done"})
        await self._storage.run(local.remove, name)
