"""Random sequences of operations: the store, on either database, does what a few lines with a dict do."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.store import AlreadyExists, Changes, Conflict, InvalidDocument, NotFound
from antiphon.store.catalogue import INBOUND_SIP

IDS = st.sampled_from("abc")
NUMBERS = st.none() | st.sampled_from(["1", "2"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "x", "%.$"])
    | st.just([])
    | st.just({})
)
PATHS = st.sampled_from(["x", "y", "x.a", "x.a.b", "y.b", "number"])
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), IDS, st.fixed_dictionaries({"number": NUMBERS, "x": VALUES})),
    st.tuples(st.just("set"), IDS, st.dictionaries(PATHS, VALUES, max_size=2)),
    st.tuples(st.just("unset"), IDS, PATHS),
    st.tuples(st.just("increment"), IDS, st.sampled_from(["x", "x.a", "y"])),
    st.tuples(st.just("append"), IDS, st.sampled_from(["x", "x.a", "y"])),
    st.tuples(st.just("expect"), IDS, st.integers(1, 4)),
    st.tuples(st.just("delete"), IDS, st.booleans()),
)


class Model:
    """What the store should hold, and what each operation should say."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()

    def taken(self, number: Any, but: str) -> bool:
        others = [self.documents[id] for id in self.documents if id != but and id not in self.deleted]
        return number is not None and any(other.get("number") == number for other in others)

    def perform(self, operation: tuple[Any, ...]) -> type[Exception] | None:
        kind, id, argument = operation
        if kind == "create":
            if id in self.documents or self.taken(argument["number"], id):
                return AlreadyExists
            self.documents[id] = {**copy.deepcopy(argument), "version": 1}
            return None
        if kind in ("set",) and any(a != b and b.startswith(a + ".") for a in argument for b in argument):
            return InvalidDocument
        if kind == "set" and isinstance(argument.get("number"), bool | list | dict):
            return InvalidDocument
        if id not in self.documents or id in self.deleted:
            return NotFound
        if kind == "delete":
            if argument:
                del self.documents[id]
            else:
                self.deleted.add(id)
                self.documents[id]["version"] += 1
            return None
        changed = copy.deepcopy(self.documents[id])
        try:
            self.change(changed, kind, argument)
        except TypeError:
            return InvalidDocument
        if kind == "expect" and argument != self.documents[id]["version"]:
            return Conflict
        if self.taken(changed.get("number"), id):
            return AlreadyExists
        changed["version"] += 1
        self.documents[id] = changed
        return None

    def change(self, document: dict[str, Any], kind: str, argument: Any) -> None:
        for path in argument if kind == "set" else [argument] if kind != "expect" else []:
            *way, name = path.split(".")
            place: Any = document
            for step in way:
                if kind == "unset" and not (isinstance(place, dict) and step in place):
                    return
                place = place.setdefault(step, {})
                if not isinstance(place, dict):
                    if kind == "unset":
                        return
                    raise TypeError
            if kind == "set":
                place[name] = copy.deepcopy(argument[path])
            elif kind == "unset":
                place.pop(name, None)
            elif kind == "increment":
                if isinstance(place.get(name, 0), bool):
                    raise TypeError
                place[name] = place.get(name, 0) + 1
            elif not isinstance(place.setdefault(name, []), list):
                raise TypeError
            else:
                place[name].append("new")


async def perform(store: Any, operation: tuple[Any, ...]) -> type[Exception] | None:
    kind, id, argument = operation
    changes: dict[str, Any] = {
        "set": lambda: Changes(set=argument),
        "unset": lambda: Changes(unset=[argument]),
        "increment": lambda: Changes(increment={argument: 1}),
        "append": lambda: Changes(append={argument: ["new"]}),
        "expect": Changes,
    }
    try:
        if kind == "create":
            await store.create("inbound_sip", argument, id=id)
        elif kind == "delete":
            await store.delete("inbound_sip", id, hard=argument)
        else:
            version = argument if kind == "expect" else None
            await store.update("inbound_sip", id, changes[kind](), expected_version=version)
    except (AlreadyExists, Conflict, InvalidDocument, NotFound) as error:
        return type(error)
    return None


def test_the_store_is_what_a_dict_would_be(open_it: Any) -> None:
    store = open_it()

    async def compare(operations: list[tuple[Any, ...]]) -> None:
        model = Model()
        async for document in store.each("inbound_sip", include_deleted=True):
            await store.backend.remove(INBOUND_SIP, {"id": document["id"]}, limit=1)
        for operation in operations:
            assert await perform(store, operation) is model.perform(operation), operation
        page = await store.find("inbound_sip", include_deleted=True)
        found = {document["id"]: document for document in page.items}
        assert found.keys() == model.documents.keys()
        for id, expected in model.documents.items():
            assert {name: found[id].get(name) for name in expected} == expected
            assert (found[id].get("deleted_at") is not None) == (id in model.deleted)

    with asyncio.Runner() as runner:

        @settings(max_examples=60, deadline=None, database=None, derandomize=True)
        @given(st.lists(OPERATIONS, max_size=14))
        def play(operations: list[tuple[Any, ...]]) -> None:
            runner.run(compare(operations))

        runner.run(store.open())
        try:
            play()
        finally:
            runner.run(store.close())
