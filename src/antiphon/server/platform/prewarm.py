"""Loads what assistants run on before their calls, which loading would stall."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ...calls.assistant import Assistant, Mode, ModelChoice, TurnDetection
from ...calls.assistant_check import USES, create_model
from ...calls.document import parse
from ...calls.resource import own_fields
from ...calls.runtime import VOICE_ACTIVITY
from ...models.errors import AntiphonError
from ...models.registry import resolve_vad
from ...plugins.smart_turn import SmartTurn
from ...store import Document, Store
from ...voice.turn_detection import prewarm as prewarm_turn_detector

logger = logging.getLogger(__name__)

DEADLINE = 60.0
_ON_THIS_MACHINE = "local"
"""Other vendors' models are made, which imports what they need, but not connected."""


class Prewarmer:
    """Loads each model once in this process. What cannot be loaded is logged: the calls that need it say why."""

    def __init__(self, turn_detector: Path | None = None) -> None:
        """
        Args:
            turn_detector: the model file of the turn detector; None: that of this installation.
        """
        self._turn_detector = turn_detector
        self._loaded: set[str] = set()
        self._loading = asyncio.Lock()

    async def load_all(self, store: Store) -> None:
        """The voice detector, the turn detector, and the models of all stored assistants."""
        try:
            async with asyncio.timeout(DEADLINE):
                await _load_voice_activity()
                await prewarm_turn_detector(self._turn_detector)
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
            if assistant.mode is Mode.CASCADE and assistant.interaction.turn_detection is TurnDetection.AUDIO:
                await _load_audio_turn_detector()


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


async def _load_audio_turn_detector() -> None:
    """Loaded already, this takes no time."""
    try:
        await SmartTurn().prewarm()
    except AntiphonError as error:
        logger.warning("no turn ends by how the voice sounds: %s", error)


async def _load_voice_activity() -> None:
    try:
        detector = await asyncio.to_thread(resolve_vad, VOICE_ACTIVITY)
        await detector.prewarm()
    except AntiphonError as error:
        logger.warning("calls cannot be taken: %s", error)
