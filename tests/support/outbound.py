"""A telephone line that counts, and a host that keeps to the rules of the queue without conversations."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from antiphon.calls.call_parts import DialFailure
from antiphon.models.errors import AntiphonError
from antiphon.store import Store
from antiphon.telephony import DialRequest, LegAnswered, OnLegEvent

ASSISTANT: dict[str, Any] = {
    "name": "Bank",
    "prompt": "You are the bank's assistant.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted:bank"},
    "tts": {"provider": "local", "model": "espeak"},
}


class CountingLeg:
    """A far end that does as it is told."""

    def __init__(self, on_event: OnLegEvent | None) -> None:
        self.on_event = on_event
        self.hung_up: list[int | None] = []

    async def answer(self) -> None: ...

    async def cancel(self) -> None: ...

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        self.hung_up.append(sip_code)

    async def transfer(self, target: str) -> None: ...

    async def send_dtmf(self, digits: str) -> None: ...

    async def aclose(self) -> None: ...


class CountingDialler:
    """Counts how often each number is dialled, and how many calls there are at once, over each trunk.

    Args:
        refuse: whether an attempt cannot begin; it gets the request.
    """

    def __init__(self, refuse: Callable[[DialRequest], bool] = lambda _request: False) -> None:
        self.dialled: Counter[str] = Counter()
        self.times: list[tuple[str, float]] = []
        self.refused: list[str] = []
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._refuse = refuse

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> CountingLeg:
        trunk = request.trunk["id"]
        if self._refuse(request):
            self.refused.append(request.number)
            raise AntiphonError("no connection to the trunk")
        self.dialled[request.number] += 1
        self.times.append((trunk, asyncio.get_running_loop().time()))
        for place in (trunk, "all"):
            self.now[place] += 1
            self.most[place] = max(self.most[place], self.now[place])
        on_event(LegAnswered())
        return CountingLeg(on_event)

    def over(self, trunk: str) -> None:
        for place in (trunk, "all"):
            self.now[place] -= 1


class QueueHost:
    """Keeps the record as `CallHost` does: on record as dialling before anything is sent, then over after `talk` seconds."""

    def __init__(self, store: Store, process_id: str, talk: float = 0.0) -> None:
        self.process_id = process_id
        self._store = store
        self._talk = talk

    async def run_outbound(self, claimed: dict[str, Any], dialler: Any) -> dict[str, Any]:
        mine = {"lease.token": claimed["lease"]["token"]}
        trunk = await self._store.get("trunks", claimed["trunk_id"], reveal=True)
        call = await self._store.update(
            "calls", claimed["id"], {"status": "dialing"}, where={"status": "queued", **mine}
        )
        request = DialRequest(
            call["id"], call["called_number"], call["caller_number"] or "", call["room"], trunk
        )
        try:
            await dialler.dial(request, lambda _event: None)
        except AntiphonError as error:
            call = await self._store.update("calls", call["id"], {"status": "queued"}, where=mine)
            raise DialFailure(str(error), call) from error
        await asyncio.sleep(self._talk)
        done = await self._store.update(
            "calls", call["id"], {"status": "completed"}, where=mine, complete=True
        )
        dialler.over(trunk["id"])
        return done


async def seed(store: Store, **trunk: Any) -> tuple[str, str]:
    """Ids of an assistant and of a trunk that is as fast as can be."""
    assistant = await store.create("assistants", ASSISTANT)
    line = await add_trunk(store, **trunk)
    return assistant["id"], line


async def add_trunk(store: Store, **fields: Any) -> str:
    given = {"name": "line", "provider": "loopback", "active": True, "calls_per_second": 1000.0, **fields}
    return str((await store.create("trunks", given))["id"])


async def eventually(holds: Callable[[], Any], within: float = 10.0) -> None:
    """Wait until something holds; what it returns may be awaited."""
    async with asyncio.timeout(within):
        while True:
            result = holds()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.01)
