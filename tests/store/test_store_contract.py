"""What every store does, on SQLite and on MongoDB's protocol alike."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from itertools import chain
from typing import Any

import pytest

from antiphon.store import (
    AlreadyExists,
    Changes,
    Conflict,
    InvalidCursor,
    InvalidDocument,
    LeaseLost,
    NotFound,
    OneOf,
    Prefix,
    Range,
)
from antiphon.store.upkeep import DAY, DELETED_KEPT

CONTENT = {
    "name": "bank ☎",
    "count": 3,
    "share": 0.1,
    "big": 2**62,
    "on": True,
    "nothing": None,
    "list": [1, "two", {"three": [None, False]}],
    "schema": {"$ref": "#/x", "a.b": {"$defs": 1}, "50%24": 2, "%2E": {}, "": 1},
    "text": "quote \" ' \\ \n $where",
}


# ---- documents


def test_a_document_comes_back_as_it_went_in(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("assistants", CONTENT)
            read = await store.get("assistants", made["id"])
            assert read == made
            assert {name: read[name] for name in CONTENT} == CONTENT
            assert [type(read["count"]), type(read["share"]), type(read["on"])] == [int, float, bool]
            assert (read["version"], read["created_at"]) == (1, clock.now)
        async with open_it() as store:
            assert await store.get("assistants", made["id"]) == made

    run_clean(main())


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 7},
        {"_unique": {}},
        {"a.b": 1},
        {"$set": 1},
        {"x": float("nan")},
        {"x": 2**63},
        {"x": {"y": object()}},
        {"x": {1: 2}},
        {"x": "\ud800"},
        {"claimable_at": 0.0},
        {"expires_at": "tomorrow"},
    ],
    ids=lambda fields: str(fields).partition(" at 0x")[0],
)
def test_what_cannot_be_stored_is_refused(open_it: Any, run_clean: Any, fields: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_it() as store:
            with pytest.raises(InvalidDocument):
                await store.create("assistants", fields)
            assert await store.count("assistants") == 0

    run_clean(main())


def test_a_unique_value_is_taken_until_its_document_is_deleted(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            first = await store.create("inbound_sip", {"number": "+4930123"})
            second = await store.create("inbound_sip", {"number": "+4930124"})
            for _ in range(2):
                await store.create("inbound_sip", {"number": None})
            with pytest.raises(AlreadyExists) as error:
                await store.create("inbound_sip", {"number": "+4930123"})
            assert error.value.field == "number"
            with pytest.raises(AlreadyExists):
                await store.update("inbound_sip", second["id"], {"number": "+4930123"})
            assert await store.get("inbound_sip", second["id"]) == second
            with pytest.raises(AlreadyExists) as error:
                await store.create("inbound_sip", {}, id=first["id"])
            assert error.value.field == "id"

            await store.delete("inbound_sip", first["id"])
            assert (await store.update("inbound_sip", second["id"], {"number": "+4930123"}))[
                "number"
            ] == "+4930123"
            await store.update("inbound_sip", second["id"], Changes(unset=["number"]))
            await store.create("inbound_sip", {"number": "+4930123"})

    run_clean(main())


def test_one_of_many_who_want_the_same_unique_value_gets_it(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as one, open_it() as two:
            made = await asyncio.gather(
                *(store.create("inbound_sip", {"number": "1"}) for store in (one, two) * 6),
                return_exceptions=True,
            )
            assert Counter(type(outcome) for outcome in made) == {dict: 1, AlreadyExists: 11}

    run_clean(main())


def test_a_deleted_document_is_hidden_and_swept_later(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("assistants", {"name": "a"})
            with pytest.raises(Conflict):
                await store.delete("assistants", made["id"], expected_version=2)
            await store.delete("assistants", made["id"], expected_version=1)
            for gone in (
                store.get("assistants", made["id"]),
                store.update("assistants", made["id"], {"name": "b"}),
                store.delete("assistants", made["id"]),
            ):
                with pytest.raises(NotFound):
                    await gone
            assert (await store.find("assistants")).items == []
            assert (await store.get("assistants", made["id"], include_deleted=True))["name"] == "a"
            assert len((await store.find("assistants", include_deleted=True)).items) == 1
            clock.now += DELETED_KEPT + 1
            assert await store.sweep() == {"assistants": 1}

            other = await store.create("assistants", {"name": "a"})
            await store.delete("assistants", other["id"])
            await store.delete("assistants", other["id"], hard=True)
            with pytest.raises(NotFound):
                await store.get("assistants", other["id"], include_deleted=True)

    run_clean(main())


def test_who_asks_can_be_cancelled_at_any_moment(open_it: Any, run_clean: Any) -> None:
    async def ask(store: Any) -> None:
        while True:
            await store.ping()

    async def main() -> None:
        async with open_it() as store:
            for moment in range(300):
                asking = asyncio.create_task(ask(store))
                await asyncio.sleep(0.0002 * (moment % 50))
                asking.cancel()
                done, _ = await asyncio.wait([asking], timeout=1)
                assert done, f"went on although it was cancelled ({moment})"
                assert asking.cancelled()

    run_clean(main())


# ---- changes


def test_changes_touch_their_fields_only(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create(
                "calls", {"a": {"b": 1, "c": 2}, "n": 1, "gone": {"x": 1, "y": 2}, "log": [1]}
            )
            clock.now += 5
            changes = Changes(
                set={"a.b": {"%2E": {"$x.y": True}}, "deep.er.still": 1},
                unset=["gone.x", "never.there"],
                increment={"n": 2.5, "started.at.zero": -1},
                append={"log": [2, {"three": 3}], "new_log": ["first"]},
                raise_to={"high": 3},
            )
            changed = await store.update("calls", made["id"], changes)
            own = {k: changed[k] for k in ("a", "deep", "gone", "n", "started", "log", "new_log", "high")}
            assert own == {
                "a": {"b": {"%2E": {"$x.y": True}}, "c": 2},
                "deep": {"er": {"still": 1}},
                "gone": {"y": 2},
                "n": 3.5,
                "started": {"at": {"zero": -1}},
                "log": [1, 2, {"three": 3}],
                "new_log": ["first"],
                "high": 3,
            }
            assert (changed["version"], changed["updated_at"]) == (2, clock.now)
            assert changed == await store.get("calls", made["id"])

    run_clean(main())


@pytest.mark.parametrize(
    "changes",
    [
        Changes(set={"n.below": 1}),
        Changes(set={"log.below": 1}),
        Changes(increment={"text": 1}),
        Changes(append={"n": [1]}),
        Changes(set={"a": 1}, unset=["a.b"]),
        Changes(set={"a": 1}, increment={"a": 1}),
        Changes(set={"version": 3}),
        Changes(set={"lease.token": "x"}),
        Changes(set={"a..b": 3}),
        Changes(set={"log.0": 3}),
        Changes(increment={"n": True}),
    ],
    ids=str,
)
def test_changes_that_do_not_fit_change_nothing(open_it: Any, run_clean: Any, changes: Changes) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("calls", {"n": 1, "text": "x", "log": []})
            with pytest.raises(InvalidDocument):
                await store.update("calls", made["id"], changes)
            assert await store.get("calls", made["id"]) == made

    run_clean(main())


def test_a_change_of_an_older_version_is_a_conflict(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("calls", {"status": "ringing"})
            await store.update("calls", made["id"], {"status": "answered"}, expected_version=1)
            with pytest.raises(Conflict):
                await store.update("calls", made["id"], {"status": "busy"}, expected_version=1)
            with pytest.raises(Conflict):
                await store.update("calls", made["id"], {"status": "busy"}, where={"status": "ringing"})
            assert (await store.get("calls", made["id"]))["status"] == "answered"
            with pytest.raises(NotFound):
                await store.update("calls", "call_none", {"status": "busy"}, expected_version=1)

    run_clean(main())


def test_one_of_many_finalises_and_no_increment_is_lost(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as one, open_it() as two:
            call = (await one.create("calls", {"status": "answered"}))["id"]
            ends = await asyncio.gather(
                *(
                    store.update(
                        "calls",
                        call,
                        {"status": "completed"},
                        where={"status": "answered"},
                        emit=[{"type": "call.ended", "data": {"by": index}}],
                    )
                    for index, store in enumerate((one, two) * 8)
                ),
                *(store.update("calls", call, Changes(increment={"n": 1})) for store in (one, two) * 8),
                return_exceptions=True,
            )
            assert Counter(type(end) for end in ends) == {dict: 17, Conflict: 15}
            final = await one.get("calls", call)
            assert (len(final["outbox"]), final["n"], final["version"]) == (1, 16, 18)

    run_clean(main())


# ---- lists


def test_filters(open_it: Any, run_clean: Any) -> None:
    stored = {
        "a": {"status": "queued", "n": 1, "on": True, "name": "Ana", "direction": "[1]"},
        "b": {"status": "queued", "n": 2.5, "on": False, "name": "Anna%", "direction": '{"x":1}'},
        "c": {"status": "done", "n": "3", "on": 1, "name": "ana", "direction": "1"},
        "d": {"status": None, "deep": {"n": 4}, "name": "A.n"},
    }
    rows: list[tuple[dict[str, Any], str]] = [
        ({}, "abcd"),
        ({"status": "queued"}, "ab"),
        ({"status": None}, "d"),
        ({"n": None}, "d"),
        ({"n": 1}, "a"),
        ({"n": 1.0}, "a"),
        ({"n": Range(gte=1)}, "ab"),
        ({"n": Range(gt=1, lt=2.5)}, ""),
        ({"n": Range(gt="1")}, "c"),
        ({"on": True}, "a"),
        ({"on": 1}, "c"),
        ({"name": Prefix("An")}, "ab"),
        ({"name": Prefix("A.")}, "d"),
        ({"name": Prefix("")}, "abcd"),
        ({"status": OneOf(("done", "queued")), "name": Prefix("A")}, "ab"),
        ({"status": OneOf(())}, ""),
        ({"direction": "[1]"}, "a"),
        ({"direction": '{"x":1}'}, "b"),
        ({"direction": OneOf(("[1]", "1"))}, "ac"),
        ({"direction": "1"}, "c"),
        ({"direction": 1}, ""),
        ({"direction": Prefix("[")}, "a"),
        ({"created_at": "1800000000"}, ""),
        ({"created_at": OneOf(("1800000000", 1_800_000_000))}, "abcd"),
        ({"created_at": Range(gte="")}, ""),
        ({"id": OneOf(("b", 5))}, "b"),
        ({"deep.n": 4}, "d"),
        ({"id": "b"}, "b"),
    ]

    async def main() -> None:
        async with open_it() as store:
            for id, fields in stored.items():
                await store.create("calls", fields, id=id)
            for where, expected in rows:
                found = (await store.find("calls", where)).items
                assert "".join(document["id"] for document in found) == expected, where
                assert await store.count("calls", where) == len(expected)
            for wrong in ({"$where": "1"}, {"a b": 1}, {"n": Range()}, {"n": Range(gt=1, lt="x")}, {"n": {}}):
                with pytest.raises(InvalidDocument):
                    await store.find("calls", wrong)

    run_clean(main())


FORGED_PLACES = [
    '["calls",false,NaN,"x"]',
    '["calls",false,Infinity,"x"]',
    '["calls",false,-Infinity,"x"]',
    '["calls",false,1e400,"x"]',
    f'["calls",false,1{"0" * 400},"x"]',
    '["calls",false,true,"x"]',
    '["calls",false,1.0,"\\ud800"]',
    '["calls",false,1.0,"\\u0000"]',
    '["calls",false,1.0,{}]',
    '["calls",0,1.0,"x"]',
    '["calls",false,1.0]',
    "[" * 5000,
    "null",
]


def forged(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_show_each_document_once_while_others_come_and_go(
    open_it: Any, run_clean: Any, clock: Any, newest_first: bool
) -> None:
    async def main() -> None:
        async with open_it() as store:
            there = []
            for index in range(25):
                clock.now += 0.1 + (index % 3 == 0) * 1e-6 if index % 4 else 0  # several at the same time
                there.append((await store.create("calls", {"status": "queued"}))["id"])
            deleted = there[12]
            seen: list[str] = []
            cursor = None
            while True:
                page = await store.find("calls", limit=4, cursor=cursor, newest_first=newest_first)
                seen += [document["id"] for document in page.items]
                if len(seen) == 4:
                    await store.delete("calls", deleted, hard=True)
                    clock.now += 1
                    late = (await store.create("calls", {"status": "queued"}))["id"]
                if (cursor := page.next_cursor) is None:
                    break
            assert len(seen) == len(set(seen))
            assert set(seen) == set(there) - {deleted} | (set() if newest_first else {late})
            times = [(await store.get("calls", id))["created_at"] for id in seen]
            assert times == sorted(times, reverse=newest_first)

            first = await store.find("calls", limit=1)
            for cursor, options in [
                ("nonsense", {}),
                ("", {}),
                ((first.next_cursor or "")[:-3], {}),
                *((forged(place), {}) for place in FORGED_PLACES),
                (first.next_cursor, {"newest_first": True}),
            ]:
                with pytest.raises(InvalidCursor):
                    await store.find("calls", cursor=cursor, **options)
            with pytest.raises(InvalidCursor):
                await store.find("assistants", cursor=first.next_cursor)

    run_clean(main())


# ---- work


@pytest.mark.time_limit(180)
def test_eight_workers_claim_500_documents_once_each(open_it: Any, run_clean: Any) -> None:
    async def work(store: Any, owner: str) -> list[str]:
        done = []
        while claimed := await store.claim("calls", {"status": "queued"}, owner=owner, lease_seconds=60):
            done.append(claimed["id"])
            await store.complete("calls", claimed, {"status": "dialed"})
        return done

    async def main() -> None:
        async with open_it() as one, open_it() as two:
            await asyncio.gather(*(one.create("calls", {"status": "queued"}) for _ in range(500)))
            claims = await asyncio.gather(*(work((one, two)[n % 2], f"worker {n}") for n in range(8)))
            count = Counter(id for done in claims for id in done)
            assert len(count) == 500
            assert set(count.values()) == {1}
            assert sum(bool(done) for done in claims) > 1
            assert await one.count("calls", {"status": "dialed", "attempts": 1}) == 500

    run_clean(main(), timeout=170)


def test_finished_work_can_be_opened_again(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            made = await store.create("calls", {"status": "failed"})
            with pytest.raises(Conflict):
                await store.reopen("calls", made["id"])
            claimed = await store.claim("calls", owner="one", lease_seconds=10)
            with pytest.raises(Conflict):
                await store.reopen("calls", made["id"])
            await store.complete("calls", claimed)
            with pytest.raises(Conflict):
                await store.reopen("calls", made["id"], where={"status": "busy"})
            opened = await store.reopen("calls", made["id"], {"status": "queued"}, where={"status": "failed"})
            assert (opened["status"], "completed_at" in opened) == ("queued", False)
            with pytest.raises(NotFound):
                await store.reopen("calls", "call_0")
            again = await store.claim("calls", owner="two", lease_seconds=10)
            assert (again["id"], again["attempts"]) == (made["id"], 2)

    run_clean(main())


def test_an_expired_lease_is_taken_over_and_its_holder_is_told(
    open_it: Any, run_clean: Any, clock: Any
) -> None:
    async def main() -> None:
        async with open_it() as store:
            await store.create("calls", {"status": "answered"})
            first = await store.claim("calls", owner="one", lease_seconds=10)
            clock.now += 9
            assert await store.claim("calls", owner="two", lease_seconds=10) is None
            await store.renew("calls", first, 10)
            clock.now += 9.5
            assert await store.claim("calls", owner="two", lease_seconds=10) is None
            clock.now += 1
            # Even the same worker, started anew, does not inherit the lease.
            second = await store.claim("calls", owner="one", lease_seconds=10)
            assert (second["lease"]["owner"], second["attempts"]) == ("one", 2)
            for late in (
                store.renew("calls", first, 10),
                store.release("calls", first),
                store.complete("calls", first, {"status": "failed"}),
            ):
                with pytest.raises(LeaseLost):
                    await late
            done = await store.complete("calls", second, {"status": "completed"})
            assert (done["status"], done["completed_at"]) == ("completed", clock.now)
            clock.now += 100
            assert await store.claim("calls", owner="three", lease_seconds=10) is None
            with pytest.raises(LeaseLost):
                await store.complete("calls", second)

    run_clean(main())


def test_released_and_scheduled_work_waits_for_its_time(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            later = await store.create("calls", {"claimable_at": clock.now + 30, "priority": 1})
            soon = await store.create("calls", {"priority": 2})
            claimed = await store.claim("calls", owner="one", lease_seconds=5)
            assert claimed["id"] == soon["id"]
            await store.release("calls", claimed, {"error": "503"}, retry_at=clock.now + 60)
            assert await store.claim("calls", owner="one", lease_seconds=5) is None
            clock.now += 61
            order = [
                await store.claim("calls", owner="one", lease_seconds=5, order_by="priority") for _ in "12"
            ]
            assert [claimed["id"] for claimed in order] == [later["id"], soon["id"]]
            assert [claimed["attempts"] for claimed in order] == [1, 2]
            await store.delete("calls", later["id"])
            clock.now += 6
            assert (await store.claim("calls", owner="one", lease_seconds=5))["id"] == soon["id"]
            with pytest.raises(InvalidDocument):
                await store.claim("assistants", owner="one", lease_seconds=5)

    run_clean(main())


# ---- events


def test_an_event_is_there_exactly_when_its_change_is(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = (await store.create("calls", {"status": "ringing"}, emit=[{"type": "call.created"}]))["id"]
            with pytest.raises(Conflict):
                await store.update("calls", call, {}, expected_version=9, emit=[{"type": "never"}])
            with pytest.raises(InvalidDocument):
                await store.update("calls", call, {}, emit=[{"data": "without a type"}])
            await store.update(
                "calls", call, {"status": "answered"}, emit=[{"type": "call.answered", "data": {"$x": 1}}]
            )
            assert await store.pending("calls") == 1

            held = await store.claim_outbox("calls", lease_seconds=10)
            assert [event["type"] for event in held["outbox"]] == ["call.created", "call.answered"]
            assert held["outbox"][1]["data"] == {"$x": 1}
            # An event that comes while a deliverer holds the document waits for it, so that none is overtaken.
            await store.update("calls", call, {}, emit=[{"type": "call.ended", "id": "evt_own"}])
            assert await store.claim_outbox("calls", lease_seconds=10) is None
            await store.acknowledge("calls", call, [event["id"] for event in held["outbox"]])
            held = await store.claim_outbox("calls", lease_seconds=10)
            assert [(event["type"], event["id"]) for event in held["outbox"]] == [("call.ended", "evt_own")]

            clock.now += 11
            again = await store.claim_outbox("calls", lease_seconds=10)
            assert again["outbox"] == held["outbox"]
            await store.acknowledge("calls", call, ["evt_own"])
            await store.acknowledge("calls", call, ["evt_own"])
            clock.now += 11
            assert (await store.pending("calls"), await store.claim_outbox("calls", lease_seconds=1)) == (
                0,
                None,
            )
            assert "outbox" not in await store.get("calls", call)

    run_clean(main())


def test_deliverers_share_the_outboxes_and_lose_no_event(open_it: Any, run_clean: Any) -> None:
    async def deliver(store: Any) -> list[str]:
        got = []
        while held := await store.claim_outbox("calls", lease_seconds=60):
            got += [event["id"] for event in held["outbox"]]
            await store.acknowledge("calls", held["id"], [event["id"] for event in held["outbox"]])
        return got

    async def main() -> None:
        async with open_it() as one, open_it() as two:
            for index in range(40):
                await one.create("calls", {}, emit=[{"type": "t", "id": f"{index}.{n}"} for n in range(3)])
            got = await asyncio.gather(*(deliver(store) for store in (one, two) * 2))
            assert sorted(chain.from_iterable(got)) == sorted(
                f"{index}.{n}" for index in range(40) for n in range(3)
            )

    run_clean(main())


# ---- upkeep


def test_what_is_too_old_is_swept_but_no_work_and_no_event(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it(retention={"calls": 7 * DAY}) as store:
            for id in ("done", "running", "undelivered"):
                emit = [{"type": "call.ended"}] if id == "undelivered" else []
                await store.create("calls", {"name": id}, id=id, emit=emit)
            for id in ("done", "undelivered"):
                claimed = await store.claim("calls", {"id": id}, owner="one", lease_seconds=1)
                await store.complete("calls", claimed)
            await store.create("assistants", {"name": "old and kept"})
            await store.create("assistants", {"name": "expires", "expires_at": clock.now + DAY})
            assert await store.sweep() == {}
            assert await store.sweep(clock.now + 2 * DAY) == {"assistants": 1}
            assert await store.sweep(clock.now + 8 * DAY, skip=["calls"]) == {}
            assert await store.sweep(clock.now + 8 * DAY) == {"calls": 1}
            left = [document["name"] for document in (await store.find("calls")).items]
            assert sorted(left) == ["running", "undelivered"]
            assert await store.count("assistants") == 1

    run_clean(main())


def test_each_goes_through_all_pages(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            await asyncio.gather(*(store.create("call_events", {"n": n}) for n in range(450)))
            assert sorted([event["n"] async for event in store.each("call_events")]) == list(range(450))

    run_clean(main())
