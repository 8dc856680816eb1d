"""A call with an agent that speaks, recorded from its answer to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.calls.recording import Recordings, RecordingStorage
from support.calls import Stage, rehearsed, sqlite_store, until

TONE = (8000 * np.sin(np.arange(320) * 2 * np.pi * 500 / 16000)).astype(np.int16)


@pytest.mark.parametrize("wanted", [True, False])
def test_both_sides_are_recorded_unless_the_assistant_does_not_want_it(
    tmp_path: Path, run_clean: Any, wanted: bool
) -> None:
    folder = tmp_path / "recordings"

    async def talk(stage: Stage) -> dict[str, Any]:
        leg, call = await stage.inbound()
        await until(lambda: call.status == "answered" and leg.room is not None)
        source = leg.room.publish_source("telephone", 16000)
        leg.talk()
        # The agent greets by itself; then the caller talks.
        await until(lambda: stage.said)
        for _ in range(25):
            source.push(AudioFrame(TONE, 16000))
            await asyncio.sleep(0.02)
        assert (call.document.get("recording") or {}).get("state") == ("recording" if wanted else None)
        leg.bye()
        document: dict[str, Any] = await call.wait()
        return document

    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            recordings = Recordings(store, RecordingStorage(folder))
            await recordings.start()
            stage = Stage(store, recorders=recordings)
            await stage.hire(recording=wanted)
            document = await talk(stage)
            await stage.aclose()
            if wanted:
                summary = document["recording"]
                assert (summary["state"], summary["error"]) == ("stored", None)
                opened = await recordings.open(document["id"])
                assert opened.size == summary["bytes"]
                data = b"".join([piece async for piece in opened.read()])
                (tmp_path / "copy.ogg").write_bytes(data)
            else:
                assert document.get("recording") is None
                assert await store.count("recordings") == 0
                assert list(folder.iterdir()) == []
            await recordings.aclose()

    with rehearsed():
        run_clean(main())
    if wanted:
        with av.open(str(tmp_path / "copy.ogg")) as container:
            left, right = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
        assert np.abs(left).max() > 0.1, "the caller is heard"
        assert np.abs(right).max() > 0.001, "the agent is heard"
        spoken = np.flatnonzero(np.abs(right) > 0.001)[0]
        assert spoken < np.flatnonzero(np.abs(left) > 0.05)[0], "the agent greeted first"
