"""What is too old goes, recordings with their files; several processes at it do no harm."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from antiphon.calls.upkeep import DAY, Upkeep, UpkeepOptions, retention_in_seconds
from antiphon.models.errors import ConfigurationError
from antiphon.store import Keyring, SecretError

ALL = retention_in_seconds({"calls": 30, "call_events": 10, "recordings": 7})


class Files:
    """Files of recordings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = False

    async def make(self, store: Any, name: str, **fields: Any) -> None:
        (self.folder / name).touch()
        await store.create("recordings", {"file": name, "state": "stored", "call_id": "call_1", **fields})

    async def remove(self, recording: Any) -> None:
        if self.broken:
            raise OSError("the disk is read-only")
        (self.folder / recording["file"]).unlink(missing_ok=True)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return Files(folder)


def test_each_collection_has_its_age(open_it: Any, run_clean: Any, clock: Any, files: Files) -> None:
    async def main() -> None:
        async with open_it(retention=ALL) as store:
            done = await store.create("calls", {"name": "done"})
            await store.update("calls", done["id"], {}, complete=True)
            await store.create("calls", {"name": "queued"})
            await store.create("call_events", {"event_id": "e1"})
            await store.create("transcripts", {"call_id": done["id"]})
            await store.create("assistants", {"name": "a"})
            delivery = await store.create("webhook_deliveries", {"event_id": "e1"})
            await store.update("webhook_deliveries", delivery["id"], {}, complete=True)
            await files.make(store, "old.ogg")
            upkeep = Upkeep(store, remove_recording=files.remove)
            assert await upkeep.sweep() == {}
            clock.now += 8 * DAY
            await files.make(store, "young.ogg")
            assert await upkeep.sweep() == {"recordings": 1}
            assert files.left() == ["young.ogg"]
            clock.now += 3 * DAY
            assert await upkeep.sweep() == {"call_events": 1}
            clock.now += 20 * DAY
            removed = {"calls": 1, "recordings": 1, "webhook_deliveries": 1}
            assert await upkeep.sweep() == removed
            assert [call["name"] for call in (await store.find("calls")).items] == ["queued"]
            assert (await store.count("transcripts"), await store.count("assistants")) == (1, 1)
            assert files.left() == []

    run_clean(main())


def test_recordings_go_with_their_files_or_not_at_all(
    open_it: Any, run_clean: Any, clock: Any, files: Files
) -> None:
    async def main() -> None:
        async with open_it() as store:
            await files.make(store, "kept.ogg")
            await files.make(store, "deleted.ogg")
            await files.make(store, "expired.ogg", expires_at=clock.now + 5)
            deleted = await store.find_one("recordings", {"file": "deleted.ogg"})
            await store.delete("recordings", deleted["id"])
            upkeep = Upkeep(store, remove_recording=files.remove)
            files.broken = True
            clock.now += 100 * DAY
            assert await upkeep.sweep() == {}
            assert len((await store.find("recordings", include_deleted=True)).items) == 3
            files.broken = False
            assert await upkeep.sweep() == {"recordings": 2}
            assert files.left() == ["kept.ogg"]
            left = await store.find("recordings", include_deleted=True)
            assert [recording["file"] for recording in left.items] == ["kept.ogg"]

    run_clean(main())


def test_what_is_being_recorded_is_left_alone(open_it: Any, run_clean: Any, clock: Any, files: Files) -> None:
    async def main() -> None:
        async with open_it(retention={"recordings": 60}) as store:
            await files.make(store, "now.ogg", state="recording")
            upkeep = Upkeep(store, remove_recording=files.remove)
            clock.now += 3600
            assert await upkeep.sweep() == {}
            clock.now += 2 * DAY
            assert await upkeep.sweep() == {"recordings": 1}
            assert files.left() == []

    run_clean(main())


def test_several_processes_sweep_at_once(open_it: Any, run_clean: Any, clock: Any, files: Files) -> None:
    async def main() -> None:
        async with open_it(retention=ALL) as one, open_it(retention=ALL) as two:
            for number in range(30):
                await files.make(one, f"{number}.ogg")
                await one.create("call_events", {"event_id": f"e{number}"})
            clock.now += 11 * DAY
            removed = await asyncio.gather(
                *(Upkeep(store, remove_recording=files.remove).sweep() for store in (one, two, one))
            )
            assert sum(one.get("call_events", 0) for one in removed) == 30
            assert max(one.get("recordings", 0) for one in removed) >= 1
            assert (await two.count("recordings"), await two.count("call_events")) == (0, 0)
            assert files.left() == []

    run_clean(main())


def test_secrets_get_the_newest_key_at_the_start_and_later(open_it: Any, run_clean: Any) -> None:
    old, new = bytes(32), bytes(range(32))
    tool = {"name": "t", "webhook": {"url": "https://a.example", "secret": "a secret"}}

    async def renewed(store: Any, id: str) -> None:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(SecretError):
                    shown = await store.get("tools", id, reveal=True)
                    assert shown["webhook"]["secret"] == "a secret"
                    return
                await asyncio.sleep(0.02)

    async def main() -> None:
        async with (
            open_it(keyring=Keyring([old])) as before,
            open_it(keyring=Keyring([new, old])) as store,
            open_it(keyring=Keyring([new])) as after,
        ):
            first = await before.create("tools", tool)
            with pytest.raises(SecretError):
                await after.get("tools", first["id"], reveal=True)
            upkeep = Upkeep(store, options=UpkeepOptions(reencrypt_seconds=0.05))
            upkeep.start()
            try:
                await renewed(after, first["id"])
                second = await before.create("tools", tool)
                await renewed(after, second["id"])
            finally:
                await upkeep.aclose()

    run_clean(main())


def test_a_lost_key_is_told_and_the_rest_goes_on(open_it: Any, run_clean: Any, caplog: Any) -> None:
    async def main() -> None:
        async with open_it() as store, open_it(keyring=Keyring([])) as keyless:
            await store.create("tools", {"name": "t", "webhook": {"secret": "a secret"}})
            await Upkeep(keyless).reencrypt()
            assert await Upkeep(keyless).sweep() == {}

    run_clean(main())
    assert "ANTIPHON_SECRET_KEY does not hold" in caplog.text
    assert "a secret" not in caplog.text


def test_ages_are_given_in_days() -> None:
    assert retention_in_seconds({}) == {"webhook_deliveries": 30 * DAY}
    assert retention_in_seconds({"webhook_deliveries": None, "calls": 0.5}) == {"calls": DAY / 2}


@pytest.mark.parametrize("days", [{"assistants": 5}, {"calls": 0}, {"calls": -1}])
def test_an_age_that_cannot_be_is_refused(days: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"retention.{next(iter(days))}"):
        retention_in_seconds(days)
