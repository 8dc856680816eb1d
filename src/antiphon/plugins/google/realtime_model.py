"""The models of Google's Gemini Live API. https://ai.google.dev/gemini-api/docs/live"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Any

from google import genai
from google.genai import types

from ...models import realtime
from ...models.errors import ConfigurationError
from ...models.realtime import RealtimeCapabilities, RealtimeSession
from ...models.tools import FunctionTool

DEFAULT_MODEL = "gemini-2.5-flash-native-audio-preview-09-2025"
DEFAULT_VOICE = "Puck"
INPUT_RATE = 16000
OUTPUT_RATE = 24000


class RealtimeModel(realtime.RealtimeModel):
    """One of the models of the Gemini Live API.

    It needs a voice activity detector in the session: the API does not report who speaks.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        voice: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        modalities: Sequence[str] = ("audio",),
        language: str | None = None,
        temperature: float | None = None,
    ) -> None:
        """Choose the model; nothing is connected yet.

        Args:
            model: as in `"gemini-2.5-flash-native-audio-preview-09-2025"`.
            voice: as in `"Puck"` or `"Kore"`.
            api_key: None: that of `GOOGLE_API_KEY`.
            base_url: of another server with the same interface, `https://…`; None: Google's.
            ssl_context: whom to trust there; None: the usual authorities.
            modalities: `["audio"]`, or `["text"]` for answers that another voice speaks. Models whose name says
                `native-audio` only speak.
            language: of the speech, as in `"de-DE"`; models that find it out by themselves do not take it.
            temperature: 0 to 2; None: the model's own.

        Raises:
            ConfigurationError: no key, or a setting that does not exist or that the model does not take.
        """
        if isinstance(modalities, str) or list(modalities) not in (["audio"], ["text"]):
            raise ConfigurationError(f'modalities are ["audio"] or ["text"], not {modalities!r}')
        speaks = list(modalities) == ["audio"]
        if not speaks and "native-audio" in model:
            raise ConfigurationError(
                f"google/{model} only speaks: use it in mode realtime, or choose a model that writes"
            )
        key = api_key or os.environ.get("GOOGLE_API_KEY")
        if not key:
            raise ConfigurationError(
                "GOOGLE_API_KEY is not set: set it in the environment, or give the model an api_key"
            )
        super().__init__(
            capabilities=RealtimeCapabilities(
                audio_output=speaks,
                turn_detection=False,
                prompt_transcription=False,
                live_updates=False,
            ),
            input_sample_rate=INPUT_RATE,
            output_sample_rate=OUTPUT_RATE,
        )
        self.model = model
        options: dict[str, Any] = {"base_url": base_url} if base_url else {}
        if ssl_context is not None:
            options["async_client_args"] = {"ssl": ssl_context}
        # Not Vertex AI, whatever the environment says: that has other names and keys.
        self.client = genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(**options))
        self._voice = voice or DEFAULT_VOICE
        self._language = language
        self._temperature = temperature

    @property
    def label(self) -> str:
        return f"google/{self.model}"

    def session(
        self, *, turn_detection: bool, instructions: str = "", tools: Sequence[FunctionTool] = ()
    ) -> RealtimeSession:
        from .realtime_session import GeminiLiveSession

        return GeminiLiveSession(self, instructions, tools)

    def configuration(self, instructions: str, tools: Sequence[FunctionTool]) -> types.LiveConnectConfig:
        """The setup of a session. The user's turns begin and end when we say so."""
        fields: dict[str, Any] = {
            "response_modalities": ["AUDIO" if self.capabilities.audio_output else "TEXT"],
            "input_audio_transcription": {},
            "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
            # Otherwise a session of audio ends when its context is full, after some 15 minutes.
            "context_window_compression": {"sliding_window": {}},
        }
        if self.capabilities.audio_output:
            fields["output_audio_transcription"] = {}
            fields["speech_config"] = {
                "voice_config": {"prebuilt_voice_config": {"voice_name": self._voice}},
                "language_code": self._language,
            }
        if self._temperature is not None:
            fields["temperature"] = self._temperature
        if instructions:
            fields["system_instruction"] = instructions
        if tools:
            declarations = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters_json_schema": tool.parameters,
                }
                for tool in tools
            ]
            fields["tools"] = [{"function_declarations": declarations}]
        return types.LiveConnectConfig(**fields)

    async def aclose(self) -> None:
        await self.client.aio.aclose()
