"""Read a script from a TOML file; every mistake in it is named with its place. Format: docs/scripted-assistants.md."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from ....models.errors import ConfigurationError
from .script import ACTIONS, FollowUp, Intent, Replies, Script
from .slots import SLOT_TYPES, Slot
from .speech import CURRENCIES
from .templates import FILTERS, fields_of

_TOP = ("name", "greeting", "human", "goodbye", "currency", "intents", "slots", "synonyms", "replies")
_INTENT = (
    "title", "examples", "keywords", "slots", "optional", "defaults", "tool", "arguments", "say", "confirm",
    "reply", "replies", "items", "retry", "ask", "cancelled", "failed", "follow_up", "action",
)  # fmt: skip
_SLOT = ("type", "ask", "hint", "values", "labels", "after", "open")


class ScriptError(ConfigurationError):
    """A script file cannot be used; the message names the file, the table and the key, and what belongs there."""


def load_script(path: str | Path) -> Script:
    """Read and check a script file.

    Raises:
        ScriptError: it cannot be read, or something in it is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path}: the script cannot be read: {error.strerror or error}") from error
    return parse_script(text, str(path))


def parse_script(text: str, source: str) -> Script:
    """Read a script from TOML text; `source` names it in errors. Raises `ScriptError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{source}: not valid TOML: {error}") from error
    return _Reader(source).script(data)


def find_script(name: str) -> Path:
    """The file of a script: a path to a TOML file, or the name of a built-in assistant.

    Raises:
        ScriptError: there is none; the message lists the built-in ones.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        raise ScriptError(f"{name}: there is no such script file (looked in {Path.cwd()})")
    # Built-in scripts are data of the package: found by path, so that this layer imports none above it.
    assistants = Path(str(files("antiphon"))) / "assistants"
    path = assistants / name / "script.toml"
    if path.is_file():
        return path
    known = sorted(p.parent.name for p in assistants.glob("*/script.toml"))
    raise ScriptError(
        f"local/scripted:{name}: there is no script of that name. "
        f"Built in: {', '.join(known) or 'none'}; or give the path of a .toml file"
    )


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source

    def _fail(self, where: str, problem: str) -> NoReturn:
        raise ScriptError(f"{self._source}: {where}: {problem}")

    def script(self, data: Mapping[str, Any]) -> Script:
        self._known_keys("the top of the file", data, _TOP)
        slots = {name: self._slot(name, table) for name, table in self._tables(data, "slots").items()}
        intents = {
            name: self._intent(name, table, slots) for name, table in self._tables(data, "intents").items()
        }
        if not intents:
            self._fail("[intents]", "a script needs at least one intent, as in [intents.goodbye]")
        for key in ("human", "goodbye"):
            self._intent_name("the top of the file", key, data.get(key), intents)
        for intent in intents.values():
            if intent.follow_up:
                self._intent_name(
                    f"[intents.{intent.name}.follow_up]", "intent", intent.follow_up.intent, intents
                )
        currency = data.get("currency", "dollars")
        if currency not in CURRENCIES:
            self._fail("currency", f"expected one of {', '.join(CURRENCIES)}, got {currency!r}")
        return Script(
            name=self._text("the top of the file", data, "name") or Path(self._source).stem,
            greeting=self._texts("the top of the file", data, "greeting") or Script.greeting,
            intents=intents,
            slots=slots,
            synonyms=self._lists("[synonyms]", data.get("synonyms", {})),
            replies=self._replies(data.get("replies", {})),
            human=data.get("human"),
            goodbye=data.get("goodbye"),
            currency=currency,
        )

    def _slot(self, name: str, table: Mapping[str, Any]) -> Slot:
        where = f"[slots.{name}]"
        self._known_keys(where, table, _SLOT)
        kind = table.get("type")
        if kind not in SLOT_TYPES:
            self._fail(f"{where} type", f"expected one of {', '.join(SLOT_TYPES)}, got {kind!r}")
        values = self._lists(f"[slots.{name}.values]", table.get("values", {}))
        if (kind == "choice") != bool(values):
            self._fail(where, "a choice needs `values`, and only a choice has them")
        labels = self._table(f"[slots.{name}.labels]", table.get("labels", {}))
        for value in labels:
            if value not in values:
                self._fail(f"[slots.{name}.labels] {value}", f"is not among the values: {', '.join(values)}")
        return Slot(
            name=name,
            type=kind,
            ask=self._texts(where, table, "ask"),
            hint=self._text(where, table, "hint"),
            values=values,
            labels={value: str(label) for value, label in labels.items()},
            after=self._texts(where, table, "after"),
            open=self._flag(where, table, "open"),
        )

    def _intent(self, name: str, table: Mapping[str, Any], slots: Mapping[str, Slot]) -> Intent:
        where = f"[intents.{name}]"
        self._known_keys(where, table, _INTENT)
        intent = Intent(
            name=name,
            title=self._text(where, table, "title"),
            examples=self._texts(where, table, "examples"),
            keywords=self._texts(where, table, "keywords"),
            slots=self._texts(where, table, "slots"),
            optional=self._texts(where, table, "optional"),
            defaults=self._strings(f"[intents.{name}.defaults]", table.get("defaults", {})),
            tool=self._text(where, table, "tool") or None,
            arguments=self._strings(f"[intents.{name}.arguments]", table.get("arguments", {})),
            say=self._texts(where, table, "say"),
            confirm=self._texts(where, table, "confirm"),
            reply=self._texts(where, table, "reply"),
            replies=self._lists(f"[intents.{name}.replies]", table.get("replies", {})),
            items=self._strings(f"[intents.{name}.items]", table.get("items", {})),
            retry=self._strings(f"[intents.{name}.retry]", table.get("retry", {})),
            ask=self._lists(f"[intents.{name}.ask]", table.get("ask", {})),
            cancelled=self._texts(where, table, "cancelled"),
            failed=self._texts(where, table, "failed"),
            follow_up=self._follow_up(name, table.get("follow_up")),
            action=self._text(where, table, "action") or None,
        )
        self._check_intent(where, intent, slots)
        return intent

    def _check_intent(self, where: str, intent: Intent, slots: Mapping[str, Slot]) -> None:
        if not intent.examples:
            self._fail(
                f"{where} examples",
                'an intent needs example phrases, as in examples = ["what\'s my balance"]',
            )
        if intent.action is not None and intent.action not in ACTIONS:
            self._fail(f"{where} action", f"expected one of {', '.join(ACTIONS)}, got {intent.action!r}")
        if not (intent.tool or intent.say or intent.action):
            self._fail(where, "needs a `tool` to call, a text to `say`, or an `action`")
        for name in intent.all_slots:
            if name not in slots:
                self._fail(f"{where} slots", f"{name!r} is not defined: add [slots.{name}]")
        for name in intent.slots:
            if not (intent.ask.get(name) or slots[name].ask or name in intent.defaults):
                self._fail(
                    f"[slots.{name}] ask", f'needed because {where} asks for it, as in ask = "Which one?"'
                )
        for key, names in (
            ("defaults", intent.defaults), ("ask", intent.ask),
            ("arguments", intent.arguments.values()), ("retry", intent.retry.values()),
        ):  # fmt: skip
            for name in names:
                if name not in intent.all_slots:
                    self._fail(
                        f"{where} {key}",
                        f"{name!r} is not among the intent's slots: {_listed(intent.all_slots)}",
                    )
        asking = [*intent.confirm, *(q for questions in intent.ask.values() for q in questions)]
        self._check_fields(f"{where} confirm or ask", asking, intent.all_slots)
        replies = [
            *intent.say,
            *intent.reply,
            *intent.failed,
            *(r for rs in intent.replies.values() for r in rs),
        ]
        self._check_fields(f"{where} reply", replies, None)
        self._check_fields(f"{where} items", intent.items.values(), None)

    def _check_fields(self, where: str, sentences: Collection[str], slots: Collection[str] | None) -> None:
        for sentence in sentences:
            for name, how in fields_of(sentence):
                if how and how not in FILTERS:
                    self._fail(where, f"{{{name}|{how}}}: the filter must be one of {', '.join(FILTERS)}")
                if slots is not None and name not in slots:
                    self._fail(where, f"{{{name}}} in {sentence!r} is not among the slots: {_listed(slots)}")

    def _follow_up(self, intent: str, value: Any) -> FollowUp | None:
        if value is None:
            return None
        where = f"[intents.{intent}.follow_up]"
        table = self._table(where, value)
        self._known_keys(where, table, ("ask", "intent"))
        ask = self._texts(where, table, "ask")
        if not ask:
            self._fail(f"{where} ask", 'expected the question, as in ask = "Shall I order a new one?"')
        return FollowUp(ask, str(table.get("intent")))

    def _replies(self, value: Any) -> Replies:
        table = self._table("[replies]", value)
        self._known_keys("[replies]", table, [f.name for f in dataclasses.fields(Replies)])
        return Replies(**{key: self._texts("[replies]", table, key) for key in table})

    def _intent_name(self, where: str, key: str, name: Any, intents: Mapping[str, Intent]) -> None:
        if name is not None and name not in intents:
            self._fail(f"{where} {key}", f"{name!r} is not an intent; there are {_listed(intents)}")

    def _known_keys(self, where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
        for key in table:
            if key not in known:
                self._fail(f"{where} {key}", f"unknown key; known here: {', '.join(known)}")

    def _tables(self, data: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
        tables = self._table(f"[{key}]", data.get(key, {}))
        return {name: self._table(f"[{key}.{name}]", table) for name, table in tables.items()}

    def _table(self, where: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._fail(where, f"expected a table, got {value!r}")
        return value

    def _lists(self, where: str, value: Any) -> dict[str, tuple[str, ...]]:
        table = self._table(where, value)
        return {key: self._texts(where, table, key) for key in table}

    def _strings(self, where: str, value: Any) -> dict[str, str]:
        table = self._table(where, value)
        return {key: self._text(where, table, key) for key in table}

    def _texts(self, where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """One text or a list of texts."""
        value = table.get(key, [])
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._fail(f"{where} {key}", f"expected a text or a list of texts, got {value!r}")
        return tuple(value)

    def _text(self, where: str, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            self._fail(f"{where} {key}", f"expected a text, got {value!r}")
        return value

    def _flag(self, where: str, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self._fail(f"{where} {key}", f"expected true or false, got {value!r}")
        return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"
