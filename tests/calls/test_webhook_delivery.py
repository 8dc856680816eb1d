"""Webhooks reach a receiver that is up in the end, once acknowledged they stay so, and they go to no private address."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.calls.delivery_lanes import DeliveryLanes
from antiphon.calls.event_relay import EventRelay, RelayOptions
from antiphon.calls.webhook_delivery import COLLECTION, DeliveryOptions, WebhookDeliverer, replay
from antiphon.calls.webhook_outcome import Backoff, of_answer, retry_after
from antiphon.models.outbound_http import OutboundPolicy, OutboundResponse
from antiphon.store import Conflict, Keyring, NotFound, StoreUnavailable
from support.receiver import DROP, ENDLESS, HANG, Answer, Receiver

pytestmark = pytest.mark.needs("httpx")

LOCAL = OutboundPolicy(allowed_networks=["127.0.0.1/32"])
QUICK = DeliveryOptions(
    poll_seconds=0.02, backoff=Backoff(first=0.02, most=0.08, jitter=0.0), drain_seconds=0.2
)
SECRET = "whsec_c2VjcmV0IG9mIHNvbWUgbGVuZ3Ro"


async def end_call(store: Any, url: str, **webhook: Any) -> str:
    """End a call whose webhook goes to `url`, and relay that; the id of the delivery."""
    settings = {"url": url, "timeout_seconds": 5.0, "attempts": 20, **webhook}
    assistant = await store.create("assistants", {"name": "Bank", "end_call_webhook": settings})
    call = await store.create("calls", {"assistant_id": assistant["id"], "status": "answered"})
    event = {"type": "call.ended", "data": {}, "webhook": "call.ended"}
    await store.update("calls", call["id"], {"status": "completed"}, emit=[event], complete=True)
    await EventRelay(store).relay_all()
    # Another relay may be at it.
    delivery = await eventually(lambda: store.find_one(COLLECTION, {"call_id": call["id"]}))
    return str(delivery["id"])


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """What `look` sees, once it sees something."""
    async with asyncio.timeout(20):
        while True:
            if seen := await look():
                return seen
            await asyncio.sleep(0.02)


async def settled(store: Any, id: str, status: str = "delivered", **fields: Any) -> Any:
    """The delivery once it has this status."""
    return await eventually(lambda: store.find_one(COLLECTION, {"id": id, "status": status, **fields}))


@asynccontextmanager
async def delivering(
    store: Any, policy: OutboundPolicy = LOCAL, options: DeliveryOptions = QUICK
) -> AsyncIterator[WebhookDeliverer]:
    deliverer = WebhookDeliverer(store, policy=policy, options=options)
    deliverer.start()
    try:
        yield deliverer
    finally:
        await deliverer.aclose()


@pytest.fixture
def real(open_it: Any) -> Callable[..., Any]:
    """A store by the clock on the wall, which receivers look at as well."""

    def real(**options: Any) -> Any:
        return open_it(clock=time.time, **options)

    return real


# ---- what is sent


def test_a_receiver_can_verify_what_it_gets(real: Any, run_clean: Any) -> None:
    standardwebhooks = pytest.importorskip("standardwebhooks")

    async def main() -> None:
        async with Receiver().listening() as receiver, real() as store, delivering(store) as deliverer:
            own = {"Authorization": "Bearer abc", "Webhook-Id": "forged", "Content-Type": "text/plain"}
            id = await end_call(store, receiver.url, headers=own, secret=SECRET)
            deliverer.poke()
            delivery = await settled(store, id)
            [message] = receiver.messages
            assert message.headers["authorization"] == "Bearer abc"
            assert message.headers["content-type"] == "application/json"
            assert (message.id, message.body.decode()) == (delivery["event_id"], delivery["body"])
            verified = standardwebhooks.Webhook(SECRET).verify(message.body, message.headers)
            assert (verified["type"], verified["data"]["call"]["id"]) == ("call.ended", delivery["call_id"])
            assert delivery["tries"] == 1
            [attempt] = delivery["history"]
            assert (attempt["status"], attempt["error"]) == (200, "")
            assert attempt["at"] == pytest.approx(time.time(), abs=60)

    run_clean(main())


def test_without_a_secret_it_is_not_signed(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with (
            Receiver().listening() as receiver,
            real(keyring=Keyring([])) as store,
            delivering(store),
        ):
            await settled(store, await end_call(store, receiver.url))
            [message] = receiver.messages
            assert "webhook-signature" not in message.headers
            assert abs(int(message.headers["webhook-timestamp"]) - time.time()) < 60

    run_clean(main())


def test_the_receiver_of_the_page_verifies_it_and_takes_it_once(
    real: Any, run_clean: Any, tmp_path: Path
) -> None:
    pytest.importorskip("standardwebhooks")
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    code = re.search(r"```python\n# receiver\.py\n(.*?)```", page, re.DOTALL)
    assert code is not None
    program = tmp_path / "receiver.py"
    program.write_text(code[1])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def main() -> None:
        environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)}
        receiver = await asyncio.create_subprocess_exec(
            sys.executable, program, env=environment, stdout=PIPE, stderr=DEVNULL
        )
        assert receiver.stdout is not None
        try:
            async with real() as store, delivering(store):
                # Nobody listens at first; retries bridge that.
                url = f"http://127.0.0.1:{port}/calls"
                id = await end_call(store, url, secret=SECRET, attempts=1000)
                delivery = await settled(store, id)
                await replay(store, id)
                await settled(store, id, replays=1)
                forged = await end_call(store, url, secret="whsec_b3RoZXI=", attempts=2)
                dead = await settled(store, forged, "dead")
                assert dead["reason"] == "the receiver answered 401"
        finally:
            receiver.terminate()
            said, _ = await receiver.communicate()
        assert said.decode().splitlines() == [f"{delivery['call_id']} completed"]

    run_clean(main())


# ---- receivers in trouble


@pytest.mark.parametrize(
    ("troubles", "statuses"),
    [
        pytest.param([500, 503, 404], [500, 503, 404, 200], id="answers errors"),
        pytest.param([DROP, DROP], [None, None, 200], id="closes the connection"),
        pytest.param([HANG], [None, 200], id="hangs"),
        pytest.param([ENDLESS], [200], id="acknowledges with an answer that does not end"),
        pytest.param([(503, {"Retry-After": "0"})], [503, 200], id="asks for another try"),
    ],
)
def test_a_receiver_in_trouble_gets_it_in_the_end_and_acknowledges_once(
    real: Any, run_clean: Any, troubles: list[Answer], statuses: list[int | None]
) -> None:
    async def main() -> None:
        receiver = Receiver(lambda number: troubles[number] if number < len(troubles) else 200)
        async with receiver.listening(), real() as store, delivering(store):
            delivery = await settled(store, await end_call(store, receiver.url, timeout_seconds=0.5))
            assert [attempt["status"] for attempt in delivery["history"]] == statuses
            assert {message.id for message in receiver.messages} == {delivery["event_id"]}
            assert len({message.body for message in receiver.messages}) == 1
            await asyncio.sleep(0.2)
            assert receiver.acknowledged() == {delivery["event_id"]: 1}

    run_clean(main())


def test_a_receiver_that_is_down_gets_everything_once_when_it_is_up(real: Any, run_clean: Any) -> None:
    """Two deliverers, twenty calls; hanging up waited for none of it."""

    async def main() -> None:
        receiver = Receiver()
        async with receiver.listening():
            pass  # its port is known now, and nobody listens
        async with real() as one, real() as two, delivering(one), delivering(two):
            ids = await asyncio.gather(
                *(end_call(store, receiver.url, attempts=1000) for store in [one, two] * 10)
            )
            await eventually(lambda: one.find_one(COLLECTION, {"id": ids[0], "tries": 3}))
            async with receiver.listening():
                done = [await settled(one, id) for id in ids]
                await asyncio.sleep(0.2)
                assert receiver.acknowledged() == {delivery["event_id"]: 1 for delivery in done}
                assert len(receiver.messages) == 20
                assert "did not answer" in done[0]["history"][0]["error"]

    run_clean(main())


def test_a_redirect_is_not_followed(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with Receiver().listening() as private:
            away = (302, {"Location": private.url})
            public = Receiver(lambda number: away if number < 2 else 200)
            async with public.listening(), real() as store, delivering(store):
                delivery = await settled(store, await end_call(store, public.url))
                assert "redirects are not followed" in delivery["history"][0]["error"]
                assert [attempt["status"] for attempt in delivery["history"]] == [302, 302, 200]
            assert private.messages == []

    run_clean(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.7"])
def test_a_private_address_is_dead_at_once_and_never_reached(real: Any, run_clean: Any, host: str) -> None:
    async def main() -> None:
        elsewhere = OutboundPolicy(allowed_networks=["127.0.0.2/32"])
        async with (
            Receiver().listening() as private,
            real() as store,
            delivering(store, policy=elsewhere),
        ):
            id = await end_call(store, f"http://{host}:{private.port}/hook", attempts=20)
            dead = await settled(store, id, "dead")
            assert (dead["tries"], len(dead["history"])) == (1, 1)
            assert "not a public address" in dead["reason"]
            await asyncio.sleep(0.1)
            assert private.messages == []

    run_clean(main())


def test_gone_is_dead_at_once_and_used_up_attempts_are_too(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        gone, broken = Receiver(lambda _: 410), Receiver(lambda _: 500)
        async with gone.listening(), broken.listening(), real() as store, delivering(store):
            ids = [await end_call(store, gone.url), await end_call(store, broken.url, attempts=25)]
            first, second = [await settled(store, id, "dead") for id in ids]
            assert (first["tries"], "410" in first["reason"]) == (1, True)
            assert (second["tries"], second["reason"]) == (25, "the receiver answered 500")
            assert len(second["history"]) == 20
            assert len(broken.messages) == 25

    run_clean(main())


def test_a_receiver_that_hangs_delays_nobody_else(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        options = DeliveryOptions(concurrency=6, per_host=2, poll_seconds=0.02, drain_seconds=0.1)
        hanging, quick = Receiver(lambda _: HANG), Receiver()
        async with hanging.listening(), quick.listening(), real() as store:
            stuck = [await end_call(store, hanging.url, timeout_seconds=60) for _ in range(20)]
            ids = [await end_call(store, quick.url) for _ in range(10)]
            async with delivering(store, options=options):
                for id in ids:
                    await settled(store, id)
                assert len(hanging.messages) <= 2
                assert await store.count(COLLECTION, {"status": "pending"}) == len(stuck)
        assert set(quick.acknowledged().values()) == {1}

    run_clean(main())


# ---- processes and stores in trouble


def test_a_process_that_dies_after_the_post_leaves_it_to_be_sent_again_under_the_same_id(
    open_it: Any, real: Any, run_clean: Any
) -> None:
    class Dying:
        """The store of a process that dies before it can write what came of the attempt."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def complete(self, *_args: Any, **_options: Any) -> Any:
            await asyncio.Event().wait()

    async def main() -> None:
        arrived = asyncio.Event()

        def answer(_number: int) -> Answer:
            arrived.set()
            return 200

        options = DeliveryOptions(poll_seconds=0.02, drain_seconds=0.2)
        async with Receiver(answer).listening() as receiver, real() as store:
            id = await end_call(store, receiver.url)
            async with delivering(Dying(store), options=options):
                await arrived.wait()
            claimed = await store.get(COLLECTION, id)
            assert claimed["status"] == "pending"
            async with open_it(clock=lambda: time.time() + 46) as later, delivering(later):
                delivery = await settled(store, id)
            assert [message.id for message in receiver.messages] == [delivery["event_id"]] * 2
            assert delivery["tries"] == 1

    run_clean(main())


def test_a_store_that_is_away_when_it_is_acknowledged_does_not_cause_a_second_one(
    real: Any, run_clean: Any
) -> None:
    class Flaky:
        """A store that is away for the first writes of an outcome."""

        def __init__(self, store: Any) -> None:
            self._store, self.refused = store, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def complete(self, *args: Any, **options: Any) -> Any:
            if self.refused < 3:
                self.refused += 1
                raise StoreUnavailable("away")
            return await self._store.complete(*args, **options)

    async def main() -> None:
        async with Receiver().listening() as receiver, real() as store:
            id = await end_call(store, receiver.url)
            async with delivering(Flaky(store)):
                delivery = await settled(store, id)
            assert receiver.acknowledged() == {delivery["event_id"]: 1}
            assert len(receiver.messages) == 1

    run_clean(main())


def test_ending_lets_attempts_under_way_finish(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        def answer(_number: int) -> Answer:
            arrived.set()
            return 200

        async with Receiver(answer).listening() as receiver, real() as store:
            id = await end_call(store, receiver.url)
            options = DeliveryOptions(poll_seconds=0.02, drain_seconds=5)
            async with delivering(store, options=options):
                await arrived.wait()
            assert (await store.get(COLLECTION, id))["status"] == "delivered"

    run_clean(main())


# ---- replay and lost keys


def test_a_replay_goes_to_the_present_address_with_the_same_id_and_body(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        wrong, right = Receiver(lambda _: 404), Receiver()
        async with wrong.listening(), right.listening(), real() as store, delivering(store):
            id = await end_call(store, wrong.url, attempts=2, secret=SECRET)
            dead = await settled(store, id, "dead")
            await replay(store, id)
            again = await settled(store, id, "dead", replays=1)
            assert (again["tries"], len(again["history"])) == (2, 4)

            fixed = {"url": right.url, "secret": SECRET, "attempts": 2, "timeout_seconds": 5.0}
            await store.update("assistants", dead["assistant_id"], {"end_call_webhook": fixed})
            await replay(store, id)
            delivered = await settled(store, id, replays=2)
            assert (delivered["body"], delivered["reason"]) == (dead["body"], None)
            await replay(store, id)
            await settled(store, id, replays=3)
            assert [message.id for message in right.messages] == [dead["event_id"]] * 2
            assert len({message.body for message in wrong.messages + right.messages}) == 1

    run_clean(main())


def test_only_what_is_finished_is_replayed(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with real() as store:
            id = await end_call(store, "https://example.com/hook")
            with pytest.raises(Conflict):
                await replay(store, id)
            with pytest.raises(NotFound):
                await replay(store, "delivery_0")

    run_clean(main())


def test_a_lost_key_is_told_and_holds_up_nothing_else(real: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with (
            Receiver().listening() as receiver,
            real() as keyed,
            real(keyring=Keyring([])) as store,
            delivering(store),
        ):
            sealed = await end_call(keyed, receiver.url, secret=SECRET, attempts=2)
            await settled(store, await end_call(store, receiver.url))
            dead = await settled(store, sealed, "dead")
            assert "ANTIPHON_SECRET_KEY" in dead["reason"]

            # One that the relay gave up, because it could not even read whom to tell; the key comes back.
            keyless = EventRelay(store, options=RelayOptions(secret_patience=0))
            settings = {"url": receiver.url, "secret": SECRET}
            assistant = await keyed.create("assistants", {"name": "a", "end_call_webhook": settings})
            event = {"type": "call.ended", "webhook": "call.ended"}
            call = await keyed.create("calls", {"assistant_id": assistant["id"]}, emit=[event])
            await keyless.relay_all()
            given_up = await keyed.find_one(COLLECTION, {"call_id": call["id"]})
            await settled(store, given_up["id"], "dead")
        async with Receiver().listening() as receiver, real() as keyed, delivering(keyed):
            settings = {"url": receiver.url, "secret": SECRET}
            await keyed.update("assistants", assistant["id"], {"end_call_webhook": settings})
            await replay(keyed, given_up["id"])
            await settled(keyed, given_up["id"])
            assert "webhook-signature" in receiver.messages[0].headers

    run_clean(main())


# ---- waits


@pytest.mark.parametrize(
    ("tries", "asked", "seconds"),
    [
        (1, None, 5), (2, None, 10), (3, None, 20), (8, None, 640), (10, None, 2560), (11, None, 3600),
        (1000, None, 3600), (1, 30, 30), (4, 30, 40), (1, 100_000, 3600),
    ],
)  # fmt: skip
def test_waits_double_up_to_a_limit_and_are_as_long_as_asked_for(
    tries: int, asked: float | None, seconds: float
) -> None:
    assert Backoff().delay(tries, asked, chance=lambda _low, _high: 1.0) == seconds


@given(tries=st.integers(1, 10_000), asked=st.none() | st.floats(0, 1e9))
def test_no_wait_is_shorter_than_asked_for_nor_beyond_the_limit(tries: int, asked: float | None) -> None:
    delay = Backoff().delay(tries, asked)
    assert min(asked or 0, 3600) <= delay <= 3600
    assert delay >= 4


NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (format_datetime(datetime(2026, 11, 21, 11, 2, tzinfo=UTC), usegmt=True), 120),
        ("Sat, 21 Nov 2026 11:02:00 -0000", 120),
        ("Sat, 21 Nov 2026 10:00:00 GMT", 0),
        ("99999999999999999999", 9_999_999_999),
        ("-5", None), ("soon", None), ("", None), ("٣", None),
    ],
)  # fmt: skip
def test_what_retry_after_asks_for(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW.timestamp()) == seconds


@pytest.mark.parametrize(
    ("status", "delivered", "final"),
    [
        (200, True, False), (202, True, False), (299, True, False), (301, False, False), (304, False, False),
        (400, False, False), (410, False, True), (429, False, False), (500, False, False),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, delivered: bool, final: bool) -> None:
    outcome = of_answer(OutboundResponse(status, {}, b""), 0.0)
    assert (outcome.delivered, outcome.final) == (delivered, final)


# ---- lanes


def test_a_host_has_a_few_places_and_one_while_it_fails() -> None:
    lanes = DeliveryLanes(total=10, per_host=3)
    assert [lanes.enter("a") for _ in range(4)] == [True, True, True, False]
    assert lanes.enter("b")
    for _ in range(3):
        lanes.leave("a", ok=False, seconds=30)
    assert [lanes.enter("a") for _ in range(2)] == [True, False]
    lanes.leave("a", ok=True, seconds=0.1)
    assert [lanes.enter("a") for _ in range(4)] == [True, True, True, False]


def test_failing_hosts_leave_half_of_the_places_to_others() -> None:
    lanes = DeliveryLanes(total=10, per_host=3)
    hosts = [f"host {n}" for n in range(20)]
    for host in hosts:
        assert lanes.enter(host)
        lanes.leave(host, ok=False, seconds=30)
    assert sum(lanes.enter(host) for host in hosts) == 5
    assert [lanes.enter(f"other {n}") for n in range(6)] == [True] * 5 + [False]
    assert lanes.full


def test_those_who_do_not_get_in_come_again_in_turn() -> None:
    lanes = DeliveryLanes(total=10, per_host=2, most_wait=60)
    lanes.enter("a")
    lanes.leave("a", ok=False, seconds=30)
    waits = [lanes.wait("a", now=100.0) for _ in range(50)]
    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[1] < 60
    assert waits[-1] == 60
    # It works again: what comes now does not wait for those.
    assert lanes.enter("a")
    lanes.leave("a", ok=True, seconds=0.1)
    assert lanes.wait("a", now=100.0) < waits[0]
