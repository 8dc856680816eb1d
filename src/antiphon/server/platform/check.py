"""What is missing before the platform can work: found by looking, not by starting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...calls.assistant import Assistant
from ...calls.assistant_check import find_problems
from ...calls.document import DocumentRefused, FieldProblem, parse
from ...calls.resource import own_fields
from ...calls.runtime import missing_sounds
from ...models.errors import AntiphonError
from ...models.registry import resolve_vad
from ...store import COLLECTIONS, Keyring, SecretError, Store, StoreError, open_store
from ...store.secrets import HOW_TO_MAKE_A_KEY
from ...voice.turn_detection import usable_model
from ..serve import listen
from ..tls import certificate_for
from .platform import health_settings, make_tracing, recording_storage, server_settings
from .settings import PlatformSettings, Role, without_password

STORE_DEADLINE = 10.0
MOST_ASSISTANTS = 500


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: what was looked at.
        ready: whether it is as it must be.
        detail: what was found.
        advice: what to do, when it is not.
        needed: False for what the platform can do without.
    """

    what: str
    ready: bool
    detail: str
    advice: str = ""
    needed: bool = True


async def check(settings: PlatformSettings) -> list[Finding]:
    """Look at everything that the platform needs; changes nothing but the store, which is brought to this version."""
    found = [
        *_check_settings(settings),
        _check_address(settings),
        *_check_health(settings),
        await asyncio.to_thread(_check_recordings, settings),
        *await _check_tracing(settings),
        *await asyncio.to_thread(_check_sounds, settings),
    ]
    if {Role.WORKER, Role.DISPATCHER} & set(settings.roles):
        found.append(await asyncio.to_thread(_check_voice_activity))
        found.append(await asyncio.to_thread(_check_turn_detector, settings))
    return found + await _check_store(settings)


def _check_settings(settings: PlatformSettings) -> list[Finding]:
    found = []
    roles = set(settings.roles)
    if Role.WORKER in roles and Role.API not in roles:
        found.append(
            Finding(
                "roles",
                False,
                "worker without api",
                "browsers reach an assistant only where both run in one process: --role api,worker",
                needed=False,
            )
        )
    if Role.API in roles and not settings.tokens.api_secret:
        found.append(
            Finding(
                "tokens",
                True,
                "signed with a secret of this process; set ANTIPHON_API_SECRET when several processes serve the page",
            )
        )
    return found


def _check_address(settings: PlatformSettings) -> Finding:
    if Role.API not in settings.roles:
        return Finding("address", True, "the role api does not run here")
    server = server_settings(settings)
    try:
        certificate = certificate_for(server)
        listen(server.host, server.port).close()
    except AntiphonError as error:
        return Finding("address", False, f"{server.host} port {server.port}", str(error))
    scheme = "https" if certificate else "http"
    return Finding("address", True, f"{scheme}, {server.host} port {server.port}")


def _check_health(settings: PlatformSettings) -> list[Finding]:
    if settings.http.health_port is None:
        return []
    server = health_settings(settings)
    where = f"{server.host} port {server.port}"
    try:
        listen(server.host, server.port, server.port_option).close()
    except AntiphonError as error:
        return [Finding("health", False, where, str(error))]
    return [Finding("health", True, f"http, {where}")]


def _check_recordings(settings: PlatformSettings) -> Finding:
    try:
        storage = recording_storage(settings)
    except AntiphonError as error:
        return Finding("recordings", False, settings.recordings.url, str(error))
    try:
        storage.check()
    except AntiphonError as error:
        return Finding("recordings", False, str(storage.local.folder), str(error))
    finally:
        storage.close()
    behind = f", then {storage.remote.url}" if storage.remote else ""
    return Finding("recordings", True, f"{storage.local.folder}{behind}")


async def _check_tracing(settings: PlatformSettings) -> list[Finding]:
    try:
        tracing = make_tracing(settings)
    except AntiphonError as error:
        return [Finding("traces", False, settings.tracing.endpoint or "cannot be sent", str(error))]
    if tracing is None:
        return []
    await tracing.aclose()
    return [
        Finding("traces", True, settings.tracing.endpoint or "to the endpoint of OpenTelemetry's variables")
    ]


def _check_sounds(settings: PlatformSettings) -> list[Finding]:
    folder = settings.calls.sounds
    if folder is None or folder.is_dir():
        return []
    advice = "make it, or take calls.sounds out; calls go on without sounds"
    return [Finding("sounds", False, f"{folder} is no folder", advice, needed=False)]


def _check_voice_activity() -> Finding:
    try:
        resolve_vad("silero/vad")
    except AntiphonError as error:
        return Finding("speech detection", False, "cannot be used", str(error))
    return Finding("speech detection", True, "silero")


def _check_turn_detector(settings: PlatformSettings) -> Finding:
    try:
        model = usable_model(settings.calls.turn_detector)
    except AntiphonError as error:
        advice = f"{error} Until then silence alone ends turns."
        return Finding("turn detector", False, "cannot be used", advice, needed=False)
    return Finding("turn detector", True, str(model))


async def _check_store(settings: PlatformSettings) -> list[Finding]:
    shown = without_password(settings.store)
    try:
        keyring = Keyring.from_environment()
        store = open_store(settings.store, keyring=keyring)
    except AntiphonError as error:
        what = "key for secrets" if isinstance(error, SecretError) else "store"
        return [Finding(what, False, "cannot be used", str(error))]
    try:
        async with asyncio.timeout(STORE_DEADLINE):
            await store.open()
    except (StoreError, TimeoutError) as error:
        why = str(error) or f"it does not answer within {STORE_DEADLINE:g} s"
        return [Finding("store", False, shown, why)]
    try:
        return [Finding("store", True, shown), *await check_contents(store, keyring, settings.calls.sounds)]
    except StoreError as error:
        return [Finding("store", False, shown, str(error))]
    finally:
        await store.close()


async def check_contents(store: Store, keyring: Keyring, sounds: Path | None = None) -> list[Finding]:
    """What the store's contents need: a key for its secrets, models for its assistants, a first API key."""
    found = []
    if unreadable := await _unreadable(store):
        advice = (
            "set ANTIPHON_SECRET_KEY to the key with which they were stored (several: separated by commas)"
        )
        found.append(Finding("key for secrets", False, f"{unreadable} cannot be read", advice))
    elif keyring:
        found.append(Finding("key for secrets", True, "set"))
    else:
        advice = f"set ANTIPHON_SECRET_KEY to the output of: {HOW_TO_MAKE_A_KEY}"
        found.append(
            Finding("key for secrets", False, "none, and no secret is stored yet", advice, needed=False)
        )
    if await store.find_one("api_keys", {}) is None:
        advice = "make the first one: antiphon keys create"
        found.append(Finding("API keys", False, "none", advice, needed=False))
    return found + await _check_assistants(store, sounds)


async def _unreadable(store: Store) -> str:
    """Which collections hold secrets that cannot be read."""
    found = []
    for collection in COLLECTIONS:
        if not collection.secret:
            continue
        try:
            async for _document in store.each(collection.name, reveal=True):
                pass
        except SecretError:
            found.append(f"secrets of {collection.name}")
    return ", ".join(found)


async def _check_assistants(store: Store, sounds: Path | None) -> list[Finding]:
    page = await store.find("assistants", limit=MOST_ASSISTANTS)
    if not page.items:
        return [Finding("assistants", False, "none", "make one: POST /assistants", needed=False)]
    found = []
    for masked in page.items:
        what = f"assistant {masked.get('name', masked['id'])}"
        try:
            document = await store.get("assistants", masked["id"], reveal=True)
            assistant = parse(Assistant, own_fields(document))
            problems = await asyncio.to_thread(find_problems, assistant)
            missing = missing_sounds(assistant, sounds)
        except DocumentRefused as error:
            problems, missing = error.problems, []
        except SecretError:
            continue  # told already
        found.append(Finding(what, not problems, masked["id"], _told(problems)))
        if missing:
            found.append(Finding(f"sounds of {what}", False, "missing", _told(missing), needed=False))
    return found


def _told(problems: Sequence[FieldProblem]) -> str:
    return "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
