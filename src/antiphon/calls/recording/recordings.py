"""The recordings of a process: made, kept in the store, uploaded, read and deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from ...rooms.room_host import RoomHost
from ...store import AlreadyExists, Conflict, Document, NotFound, OneOf, Store, StoreError, Where
from ...store.documents import new_id
from ..status import TERMINAL
from .encoder import RecordingEncoder
from .info import (
    RecordingError,
    RecordingInfo,
    RecordingNotFound,
    RecordingNotReady,
    RecordingState,
    RecordingUnavailable,
)
from .ogg_opus import SAMPLE_RATE
from .recorder import CallRecorder
from .recovery import Found, find_complete, name_of, recover
from .storage import Place, RecordingStorage
from .stored import StoredRecording
from .upload import Uploads

logger = logging.getLogger(__name__)

COLLECTION = "recordings"
ENCODER_THREADS = 2
CLOSE_DEADLINE = 10.0
ROUND = 60.0
"""Seconds between two looks for what other processes left behind."""
_SOON = 5.0  # the second look, for a file that was too young at the first
_FILING_DEADLINE = 60.0
_LONGEST_CALL = 26 * 3600.0
_TOLD_WITHIN = 600.0
"""Seconds after the last word of a call's record in which its process, started again, tells of the recording."""
_LEFT_BEHIND = "its process died, and nothing of it is on this disk or any other"


class Recordings:
    """Makes recorders, and owns what goes on behind them. Call `start` before and `aclose` after.

    Attributes:
        storage: where recordings lie.
        uploads: those waiting or under way.
    """

    def __init__(self, store: Store, storage: RecordingStorage, *, executor: Executor | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            store: where the documents are.
            storage: closed by `aclose`.
            executor: threads that encode; two of our own by default, which is enough for a hundred calls.
        """
        self.storage = storage
        self.uploads = Uploads(store, storage)
        self._store = store
        self._executor = executor or ThreadPoolExecutor(ENCODER_THREADS, thread_name_prefix="recording")
        self._recorders: dict[str, CallRecorder] = {}
        self._filing: set[asyncio.Task[RecordingInfo]] = set()
        self._upkeep: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def active(self) -> int:
        """How many calls are being recorded by this process."""
        return len(self._recorders)

    async def start(self) -> None:
        """Look for what earlier processes left behind, now and from time to time.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        await asyncio.to_thread(self.storage.check)
        if self._upkeep is None:
            self._upkeep = asyncio.get_running_loop().create_task(self._keep_up(), name="recordings upkeep")

    def recorder(
        self, call_id: str, rooms: RoomHost, room_name: str, *, caller_identity: str | None = None
    ) -> CallRecorder:
        """Prepare to record a call; nothing is written before its `start`.

        Args:
            call_id: of the call's document.
            rooms: who hosts the call's room.
            room_name: the call's room.
            caller_identity: the participant on the left channel; None: everybody who is no agent. The right channel has
                all the others, mixed.
        """
        recording_id = new_id("rec", self.wall_clock())
        encoder = RecordingEncoder(
            self.storage.local.path(name_of(call_id, recording_id)), self._executor, sample_rate=SAMPLE_RATE
        )
        info = RecordingInfo(recording_id, call_id, RecordingState.RECORDING, self.wall_clock())
        return CallRecorder(self, encoder, info, rooms, room_name, caller_identity)

    async def open(self, call_id: str) -> StoredRecording:
        """What there is of a call's recording; a failed one may have a beginning.

        Raises:
            RecordingNotFound: the call has none, or nothing of it was stored.
            RecordingNotReady: the call is still being recorded.
            RecordingUnavailable: it cannot be reached from here now.
            StoreError: the store failed.
        """
        document = await self._document(call_id)
        if document is None:
            raise RecordingNotFound(f"call {call_id} has no recording")
        if document["state"] == RecordingState.RECORDING:
            raise RecordingNotReady(f"call {call_id} is still being recorded")
        if not document["bytes"]:
            raise RecordingNotFound(f"nothing of call {call_id} was recorded: {document['error']}")
        name, size = document["file"], document["bytes"]
        places = self._places(document)
        if len(places) == 1 and places[0] is self.storage.local:
            path = self.storage.local.path(name)
            if not await self.storage.run(path.exists):
                raise RecordingUnavailable(
                    f"the recording of call {call_id} is not in {path.parent}: "
                    "it is on another machine, not uploaded yet, or was removed by hand"
                )
        return StoredRecording(
            id=document["id"],
            call_id=call_id,
            size=size,
            etag=f'"{document["id"]}-{size}"',
            filename=f"{call_id}.ogg",
            modified_at=document["updated_at"],
            storage=self.storage,
            places=places,
            name=name,
        )

    async def delete(self, call_id: str) -> bool:
        """Delete a call's recordings, files first; returns whether there were any.

        Raises:
            RecordingNotReady: the call is still being recorded.
            RecordingUnavailable: a file could not be deleted; its document is there still, so try again.
            StoreError: the store failed.
        """
        any_deleted = False
        async for document in self._store.each(COLLECTION, {"call_id": call_id}):
            if document["state"] == RecordingState.RECORDING:
                raise RecordingNotReady(f"call {call_id} is still being recorded: end it first")
            await self.remove_files(document)
            try:
                await self._store.delete(COLLECTION, document["id"], hard=True)
            except NotFound:
                continue
            any_deleted = True
        return any_deleted

    async def remove_files(self, document: Document) -> None:
        """Delete the files of a document of `recordings`, deleted or not, and leave the document; again does nothing.

        Raises:
            RecordingUnavailable: a file could not be deleted; try again later.
        """
        await self.uploads.forget(document["id"])
        for place in self._places(document):
            await self.storage.run(place.remove, document["file"])

    async def aclose(self, deadline: float = CLOSE_DEADLINE) -> None:
        """Complete what is being recorded, wait for uploads until the deadline, and stop. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        ends = loop.time() + deadline
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.wait([self._upkeep])
        stops = [loop.create_task(recorder.stop()) for recorder in tuple(self._recorders.values())]
        if stops:
            await asyncio.wait(stops)
        if self._filing:
            await asyncio.wait(tuple(self._filing), timeout=max(0.0, ends - loop.time()))
        late = [task for task in self._filing if not task.done()]
        for task in late:
            task.cancel()
        if late:
            logger.error("%d recordings were not complete in time; the next start mends them", len(late))
            await asyncio.wait(late)
        await self.uploads.aclose(max(0.0, ends - loop.time()))
        self._executor.shutdown(wait=False)
        self.storage.close()

    # -- for the recorders

    def wall_clock(self) -> float:
        """Seconds since 1970."""
        return self._store.clock()

    def file(self, recorder: CallRecorder) -> asyncio.Task[RecordingInfo]:
        """Keep the document of a recording that begins; the task ends when it says how the recording went."""
        self._recorders[recorder.id] = recorder
        task = asyncio.get_running_loop().create_task(
            self._file(recorder), name=f"file recording {recorder.id}"
        )
        self._filing.add(task)
        task.add_done_callback(self._filing.discard)
        return task

    async def _file(self, recorder: CallRecorder) -> RecordingInfo:
        name = name_of(recorder.call_id, recorder.id)
        try:
            try:
                await self._save(recorder.info, name)
            except StoreError as error:
                # It is written again at the end, and found by its file if that fails too.
                logger.warning("recording %s is not in the store yet: %s", recorder.id, error)
            info = await recorder.encoded()
        finally:
            self._recorders.pop(recorder.id, None)
        await self._save_at_last(info, name)
        return info

    async def _save_at_last(self, info: RecordingInfo, name: str) -> None:
        loop = asyncio.get_running_loop()
        ends, pause = loop.time() + _FILING_DEADLINE, 0.5
        while True:
            try:
                await self._save(info, name)
                break
            except StoreError as error:
                if not error.retryable or loop.time() > ends:
                    logger.error("recording %s could not be filed: %s", info.id, error)
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 8.0)
        await self._tell_ended_call(info)
        if info.bytes and not self._closed:
            self.uploads.begin(info.id, name)

    async def _tell_ended_call(self, info: RecordingInfo) -> None:
        """Correct the record of a call that somebody else ended while we recorded it; we did not write its end."""
        where: Where = {
            "recording.id": info.id,
            "recording.state": str(RecordingState.RECORDING),
            "status": OneOf(tuple(str(status) for status in TERMINAL)),
        }
        try:
            await self._store.update("calls", info.call_id, {"recording": info.summary}, where=where)
        except (Conflict, NotFound):
            return
        except StoreError as error:
            logger.warning("call %s keeps saying that it is recorded: %s", info.call_id, error)

    async def _save(self, info: RecordingInfo, name: str) -> None:
        pending = info.bytes > 0 and info.state is not RecordingState.RECORDING
        fields = {
            **info.fields,
            "file": name,
            "upload": "pending" if pending and self.storage.remote is not None else None,
        }
        try:
            await self._store.update(COLLECTION, info.id, fields)
        except NotFound:
            try:
                await self._store.create(COLLECTION, {**fields, "url": None}, id=info.id)
            except AlreadyExists:
                logger.info("recording %s was deleted before it ended", info.id)

    # -- what is left behind

    async def _keep_up(self) -> None:
        pauses = iter((_SOON,))
        while True:
            try:
                await self.recover()
            except (StoreError, RecordingError) as error:
                logger.warning("recordings left behind could not be looked for: %s", error)
            await asyncio.sleep(next(pauses, ROUND))

    async def recover(self) -> None:
        """Mend what processes that died left in the folder, file it, and go on with uploads; `start` does it by itself.

        Raises:
            StoreError, RecordingUnavailable: the rest is done by the next call.
        """
        for found in await self.storage.run(recover, self.storage.local.folder):
            await self._file_found(found)
        async for document in self._store.each(COLLECTION, {"state": str(RecordingState.RECORDING)}):
            await self._look_after(document)
        if self.storage.remote is not None:
            async for document in self._store.each(COLLECTION, {"upload": "pending"}):
                if await self.storage.run(self.storage.local.path(document["file"]).exists):
                    self.uploads.begin(document["id"], document["file"])

    async def _file_found(self, found: Found) -> None:
        known = await self._store.find_one(COLLECTION, {"id": found.recording_id})
        began = known["started_at"] if known else self.wall_clock() - found.seconds
        info = RecordingInfo(
            found.recording_id,
            found.call_id,
            RecordingState.STORED if found.size else RecordingState.FAILED,
            began,
            seconds=found.seconds,
            bytes=found.size,
            error="" if found.size else "the process died before a second was written",
        )
        logger.warning(
            "the process that recorded call %s died: %.1f s are kept", found.call_id, found.seconds
        )
        await self._save(info, found.name)
        await self._tell_call(info)

    async def _look_after(self, document: Document) -> None:
        """A document that says that somebody records."""
        age = self.wall_clock() - document["updated_at"]
        if document["id"] in self._recorders or age < ROUND:
            return
        found = await self.storage.run(find_complete, self.storage.local.path(document["file"]))
        if found is not None:
            await self._file_found(found)
        elif age > _LONGEST_CALL or await self._is_given_up(document):
            info = RecordingInfo(
                document["id"],
                document["call_id"],
                RecordingState.FAILED,
                document["started_at"],
                error=_LEFT_BEHIND,
            )
            await self._save(info, document["file"])
            await self._tell_call(info)

    async def _is_given_up(self, document: Document) -> bool:
        """Whether a recording's call is over, and nobody told of the recording. Its file may still turn up."""
        try:
            call = await self._store.get("calls", document["call_id"])
        except NotFound:
            call = document
        over = call is document or call.get("ended_at") is not None
        return over and self.wall_clock() - max(call["updated_at"], document["updated_at"]) > _TOLD_WITHIN

    async def _tell_call(self, info: RecordingInfo) -> None:
        try:
            await self._store.update("calls", info.call_id, {"recording": info.summary})
        except NotFound:
            logger.info("call %s of recording %s is not there any more", info.call_id, info.id)

    # -- documents

    async def _document(self, call_id: str) -> Document | None:
        page = await self._store.find(COLLECTION, {"call_id": call_id}, limit=1, newest_first=True)
        return page.items[0] if page.items else None

    def _places(self, document: Document) -> Sequence[Place]:
        """Where its file may be, the nearest first."""
        places: list[Place] = [self.storage.local]
        if document.get("upload") and (remote := self.storage.remote_of(document["url"])) is not None:
            places.append(remote)
        return places
