"""The SQLite file: who may read it, and what happens when the file, the disk or the process fails."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from antiphon.store import Keyring, StoreCorrupt, StoreError, StoreUnavailable, open_store

pytestmark = pytest.mark.needs("aiosqlite")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_only_the_owner_may_read_the_files(file: Path, run_clean: Any) -> None:
    def modes() -> list[int]:
        return [path.stat().st_mode & 0o777 for path in file.parent.iterdir()]

    seen: list[list[int]] = []

    async def main() -> None:
        async with open_store(f"sqlite:{file}") as store:
            await store.create("calls", {})
            seen.append(modes())

    run_clean(main())
    file.chmod(0o644)
    run_clean(main())
    # The database, its log and the log's index.
    assert seen == [[0o600] * 3] * 2


@pytest.mark.parametrize("content", [b"This is not a database at all. " * 200, b"\x00" * 50])
def test_a_file_that_is_no_database_is_left_alone(file: Path, run_clean: Any, content: bytes) -> None:
    file.write_bytes(content)

    async def main() -> None:
        with pytest.raises(StoreCorrupt, match="not an SQLite database"):
            await open_store(f"sqlite:{file}").open()

    run_clean(main())
    assert file.read_bytes() == content


def test_a_damaged_file_is_reported(file: Path, run_clean: Any) -> None:
    async def fill() -> None:
        async with open_store(f"sqlite:{file}") as store:
            await asyncio.gather(*(store.create("calls", {"text": "x" * 500}) for _ in range(200)))

    async def read() -> None:
        async with open_store(f"sqlite:{file}") as store:
            await store.find("calls", limit=500)

    run_clean(fill())
    pages = bytearray(file.read_bytes())
    pages[8192:-4096] = os.urandom(len(pages) - 8192 - 4096)
    file.write_bytes(pages)
    with pytest.raises(StoreCorrupt, match="damaged"):
        run_clean(read())


def test_a_folder_that_is_missing_or_a_file_that_is_a_folder(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        for path in (tmp_path / "missing" / "store.db", tmp_path):
            with pytest.raises(StoreError, match="Its folder must exist and be writable"):
                await open_store(f"sqlite:{path}").open()

    run_clean(main())


def test_a_full_disk_fails_the_write_and_keeps_the_rest(file: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with open_store(f"sqlite:{file}") as store:
            kept = await store.create("calls", {"name": "kept"})
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
            try:
                with pytest.raises(StoreError):
                    await store.create("calls", {"name": "too large", "text": "x" * 4_000_000})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                signal.signal(signal.SIGXFSZ, handler)
            await store.create("calls", {"name": "after"})
            assert [call["name"] for call in (await store.find("calls")).items] == ["kept", "after"]
            assert await store.get("calls", kept["id"]) == kept

    run_clean(main())


def test_sqlite_says_that_its_disk_is_full(file: Path, run_clean: Any) -> None:
    from antiphon.store import StoreFull

    async def main() -> None:
        async with open_store(f"sqlite:{file}") as store:
            pages = sqlite3.connect(file).execute("PRAGMA page_count").fetchone()[0]
            await store.backend.inner._writer.execute(f"PRAGMA max_page_count = {pages + 10}")  # type: ignore[attr-defined]
            small = store.create("calls", {"name": "small"})
            large = store.create("calls", {"text": "x" * 400_000})
            outcomes = await asyncio.gather(large, small, return_exceptions=True)
            assert isinstance(outcomes[0], StoreFull)
            await store.create("calls", {"name": "after"})

    run_clean(main())


def test_another_process_that_keeps_the_lock_is_no_hang(file: Path, run_clean: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("antiphon.store.sqlite.BUSY_SECONDS", 0.2)

    async def main() -> None:
        async with open_store(f"sqlite:{file}") as store:
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.create("calls", {})
            assert await store.count("calls") == 0
            other.execute("ROLLBACK")
            other.close()
            await store.create("calls", {})

    run_clean(main())


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_taken_away_takes_no_writes(file: Path, run_clean: Any, replaced: bool) -> None:
    aside = file.with_suffix(".aside")

    def take_away() -> None:
        file.rename(aside)
        if replaced:
            file.write_bytes(aside.read_bytes())

    async def main() -> None:
        async with open_store(f"sqlite:{file}") as store:
            await store.create("calls", {})
            await asyncio.to_thread(take_away)
            for operation in (store.create("calls", {}), store.ping()):
                with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                    await operation
            await asyncio.to_thread(aside.replace, file)
            await store.ping()
            await store.create("calls", {})
            assert await store.count("calls") == 2

    run_clean(main())


def test_a_closed_store_says_so(file: Path, run_clean: Any) -> None:
    async def main() -> None:
        store = open_store(f"sqlite:{file}")
        async with store:
            writes = [asyncio.create_task(store.create("calls", {})) for _ in range(100)]
            await asyncio.sleep(0)
        # What was asked for before closing is done.
        assert len({call["id"] for call in await asyncio.gather(*writes)}) == 100
        for operation in (store.create("calls", {}), store.count("calls")):
            with pytest.raises(StoreUnavailable, match="closed"):
                await operation
        async with store:
            assert await store.count("calls") == 100

    run_clean(main())


WRITER = """
import asyncio, sys
from antiphon.store import Changes, Keyring, open_store

async def main():
    async with open_store(sys.argv[1], keyring=Keyring([])) as store:
        call = await store.create("calls", {"n": 0}, id="counter")
        async def create(worker):
            for index in range(100000):
                made = await store.create("calls", {"text": "x" * 300})
                print("made", made["id"], flush=True)
        async def count():
            while True:
                changed = await store.update("calls", "counter", Changes(increment={"n": 1}), emit=[{"type": "t"}])
                print("counted", changed["n"], flush=True)
        await asyncio.gather(count(), *(create(worker) for worker in range(4)))
asyncio.run(main())
"""


@pytest.mark.parametrize("moment", [150, 700])
def test_a_killed_process_loses_no_acknowledged_write(file: Path, run_clean: Any, moment: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, f"sqlite:{file}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(moment)]
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(10) == -signal.SIGKILL
    said = [line.split() for line in lines if line.endswith("\n")]
    made = {word for kind, word in said if kind == "made"}
    counted = max(int(word) for kind, word in said if kind == "counted")
    assert len(made) > moment / 2

    async def main() -> None:
        async with open_store(f"sqlite:{file}", keyring=Keyring([])) as store:
            assert made - {call["id"] async for call in store.each("calls")} == set()
            counter = await store.get("calls", "counter")
            assert counter["n"] >= counted
            # The change and its event: both or neither.
            assert len(counter["outbox"]) == counter["n"]
            await store.create("calls", {})

    run_clean(main())
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
