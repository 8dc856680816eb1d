"""Loads what the stored assistants run on, so that the first call does not wait for it."""

from __future__ import annotations

import asyncio
import logging

from ...calls.assistant import Assistant, ModelChoice
from ...calls.assistant_check import USES, create_model
from ...calls.document import parse
from ...calls.resource import own_fields
from ...calls.runtime import VOICE_ACTIVITY
from ...models.errors import AntiphonError
from ...models.registry import resolve_vad
from ...store import SecretError, Store

logger = logging.getLogger(__name__)

DEADLINE = 60.0
_ON_THIS_MACHINE = "local"
"""Other vendors' models are made, which imports what they need, but not connected."""


async def prewarm(store: Store) -> None:
    """Load the models of all stored assistants, each once. What cannot be loaded is logged: its calls say why."""
    try:
        async with asyncio.timeout(DEADLINE):
            await _load_voice_activity()
            for kind, choice in await _choices(store):
                await _load(kind, choice)
    except TimeoutError:
        logger.warning("the models are not all loaded after %g s; the first calls wait for them", DEADLINE)


async def _choices(store: Store) -> list[tuple[str, ModelChoice]]:
    found: dict[str, tuple[str, ModelChoice]] = {}
    async for document in store.each("assistants"):
        try:
            revealed = await store.get("assistants", document["id"], reveal=True)
            assistant = parse(Assistant, own_fields(revealed))
        except (AntiphonError, SecretError) as error:
            logger.warning("assistant %s cannot take calls: %s", document["id"], error)
            continue
        for kind in USES[assistant.mode]:
            choice: ModelChoice | None = getattr(assistant, kind)
            if choice is not None:
                found[f"{kind} {choice.registry_name} {choice.options}"] = (kind, choice)
    return list(found.values())


async def _load(kind: str, choice: ModelChoice) -> None:
    try:
        model = await asyncio.to_thread(create_model, kind, choice)
        try:
            if choice.provider == _ON_THIS_MACHINE:
                await model.prewarm()
        finally:
            await model.aclose()
    except AntiphonError as error:
        logger.warning("%s %s cannot be used: %s", kind, choice.registry_name, error)


async def _load_voice_activity() -> None:
    try:
        detector = await asyncio.to_thread(resolve_vad, VOICE_ACTIVITY)
        await detector.prewarm()
    except AntiphonError as error:
        logger.warning("calls cannot be taken: %s", error)
