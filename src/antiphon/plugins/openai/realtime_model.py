"""OpenAI's realtime models. https://platform.openai.com/docs/guides/realtime"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from openai import AsyncOpenAI

from ...models import realtime
from ...models.errors import ConfigurationError
from ...models.realtime import RealtimeCapabilities, RealtimeSession
from ...models.tools import FunctionTool

DEFAULT_MODEL = "gpt-realtime"
DEFAULT_VOICE = "marin"
TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
SAMPLE_RATE = 24000  # the only one of audio/pcm
SILENCE = 0.5  # seconds of it after which the model's own detection takes speech for ended


class RealtimeModel(realtime.RealtimeModel):
    """One of OpenAI's realtime models."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        voice: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        modalities: Sequence[str] = ("audio",),
        language: str | None = None,
        transcription_model: str | None = TRANSCRIPTION_MODEL,
        noise_reduction: str | None = None,
    ) -> None:
        """Choose the model; nothing is connected yet.

        Args:
            model: as in `"gpt-realtime"`.
            voice: as in `"marin"` or `"cedar"`.
            api_key: None: that of `OPENAI_API_KEY`.
            base_url: of another server with the same interface; None: `OPENAI_BASE_URL`, else OpenAI.
            modalities: `["audio"]`, or `["text"]` for answers that another voice speaks.
            language: the user's, as in `"de"`, for the transcripts.
            transcription_model: writes down what the user says; None: nobody does.
            noise_reduction: `"near_field"`, `"far_field"` or None.

        Raises:
            ConfigurationError: no key, or a setting that does not exist.
        """
        if isinstance(modalities, str) or list(modalities) not in (["audio"], ["text"]):
            raise ConfigurationError(f'modalities are ["audio"] or ["text"], not {modalities!r}')
        if noise_reduction not in (None, "near_field", "far_field"):
            raise ConfigurationError(
                f'noise_reduction is "near_field" or "far_field", not {noise_reduction!r}'
            )
        if not (api_key or os.environ.get("OPENAI_API_KEY")):
            raise ConfigurationError(
                "OPENAI_API_KEY is not set: set it in the environment, or give the model an api_key"
            )
        super().__init__(
            capabilities=RealtimeCapabilities(
                audio_output=list(modalities) == ["audio"],
                input_transcription=transcription_model is not None,
            ),
            input_sample_rate=SAMPLE_RATE,
            output_sample_rate=SAMPLE_RATE,
        )
        self.model = model
        self.client = AsyncOpenAI(api_key=api_key, base_url=base_url)
        self._voice = voice or DEFAULT_VOICE
        self._language = language
        self._transcription_model = transcription_model
        self._noise_reduction = noise_reduction

    @property
    def label(self) -> str:
        return f"openai/{self.model}"

    def session(
        self, *, turn_detection: bool, instructions: str = "", tools: Sequence[FunctionTool] = ()
    ) -> RealtimeSession:
        from .realtime_session import OpenAIRealtimeSession

        session = OpenAIRealtimeSession(self, turn_detection=turn_detection)
        if instructions or tools:
            session.update(instructions, tools)
        return session

    def configuration(self, *, turn_detection: bool) -> dict[str, Any]:
        """What `session.update` tells a new session. The model never answers unasked."""
        transcription: dict[str, Any] | None = None
        if self._transcription_model is not None:
            transcription = {"model": self._transcription_model}
            if self._language:
                transcription["language"] = self._language
        detection = {
            "type": "server_vad",
            "silence_duration_ms": round(SILENCE * 1000),
            "create_response": False,
            "interrupt_response": False,
        }
        pcm = {"type": "audio/pcm", "rate": SAMPLE_RATE}
        audio: dict[str, Any] = {
            "input": {
                "format": pcm,
                "transcription": transcription,
                "turn_detection": detection if turn_detection else None,
            }
        }
        if self._noise_reduction is not None:
            audio["input"]["noise_reduction"] = {"type": self._noise_reduction}
        speaks = self.capabilities.audio_output
        if speaks:
            audio["output"] = {"format": pcm, "voice": self._voice}
        return {"type": "realtime", "output_modalities": ["audio" if speaks else "text"], "audio": audio}

    async def aclose(self) -> None:
        await self.client.close()
