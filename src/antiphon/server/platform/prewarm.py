"""Loads what assistants run on before their calls, which loading would stall."""

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
from ...store import Document, Store

logger = logging.getLogger(__name__)

DEADLINE = 60.0
_ON_THIS_MACHINE = "local"
"""Other vendors' models are made, which imports what they need, but not connected."""


class Prewarmer:
    """Loads each model once in this process. What cannot be loaded is logged: the calls that need it say why."""

    def __init__(self) -> None:
        self._loaded: set[str] = set()
        self._loading = asyncio.Lock()

    async def load_all(self, store: Store) -> None:
        """The voice detector, and the models of all stored assistants."""
        try:
            async with asyncio.timeout(DEADLINE):
                await _load_voice_activity()
                async for document in store.each("assistants"):
                    try:
                        await self.load(await store.get("assistants", document["id"], reveal=True))
                    except AntiphonError as error:
                        logger.warning("assistant %s cannot take calls: %s", document["id"], error)
        except TimeoutError:
            logger.warning("the models are not all loaded after %g s; calls wait for the rest", DEADLINE)

    async def load(self, assistant_document: Document) -> None:
        """The models of one assistant, given with its secrets. Raises DocumentRefused if it cannot be read."""
        assistant = parse(Assistant, own_fields(assistant_document))
        async with self._loading:
            for kind in USES[assistant.mode]:
                choice: ModelChoice | None = getattr(assistant, kind)
                if choice is None:
                    continue
                name = f"{kind} {choice.registry_name} {choice.options}"
                if name not in self._loaded:
                    await _load(kind, choice)
                    self._loaded.add(name)


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
