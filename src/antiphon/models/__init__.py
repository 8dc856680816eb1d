"""Speech and language models: what they offer, how they are found by name, and what makes weak ones dependable.

Interfaces (`STT`, `LLM`, `TTS`, `VAD`), the conversation (`ChatContext`), tools (`function_tool`), adapters and fallbacks.
Nothing here knows a vendor: `antiphon.plugins` has those.
"""

from .chat_context import ChatContext, ChatMessage, ToolCall
from .connection_pool import ConnectionPool
from .errors import (
    AllProvidersFailed,
    AntiphonError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeout,
    StopResponse,
    ToolError,
)
from .fallback import (
    AvailabilityChanged,
    BackOff,
    FallbackAdapter,
    LLMFallbackAdapter,
    STTFallbackAdapter,
    TTSFallbackAdapter,
)
from .llm import LLM, ChatChunk, LLMCapabilities, LLMStream, ToolChoice, Usage
from .realtime import RealtimeCapabilities, RealtimeGeneration, RealtimeModel, RealtimeSession
from .registry import (
    ModelName,
    register_plugin,
    resolve_llm,
    resolve_realtime,
    resolve_stt,
    resolve_tts,
    resolve_vad,
)
from .stream_adapter import StreamAdapter, STTStreamAdapter, TTSStreamAdapter
from .stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, STTCapabilities, WordInfo
from .tokenize import SentenceSplitter, split_sentences, split_words, strip_markdown
from .tools import (
    FunctionTool,
    RunContext,
    ToolArgumentError,
    find_function_tools,
    function_tool,
    tool_output_text,
)
from .tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities
from .vad import VAD, VADCapabilities, VADEvent, VADEventType, VADStream

__all__ = [
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "AllProvidersFailed",
    "AntiphonError",
    "AvailabilityChanged",
    "BackOff",
    "ChatChunk",
    "ChatContext",
    "ChatMessage",
    "ChunkedStream",
    "ConfigurationError",
    "ConnectionPool",
    "FallbackAdapter",
    "FunctionTool",
    "LLMCapabilities",
    "LLMFallbackAdapter",
    "LLMStream",
    "ModelName",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderStatusError",
    "ProviderTimeout",
    "RealtimeCapabilities",
    "RealtimeGeneration",
    "RealtimeModel",
    "RealtimeSession",
    "RecognizeStream",
    "RunContext",
    "STTCapabilities",
    "STTFallbackAdapter",
    "STTStreamAdapter",
    "SentenceSplitter",
    "SpeechEvent",
    "SpeechEventType",
    "StopResponse",
    "StreamAdapter",
    "SynthesizeStream",
    "SynthesizedAudio",
    "TTSCapabilities",
    "TTSFallbackAdapter",
    "TTSStreamAdapter",
    "ToolArgumentError",
    "ToolCall",
    "ToolChoice",
    "ToolError",
    "Usage",
    "VADCapabilities",
    "VADEvent",
    "VADEventType",
    "VADStream",
    "WordInfo",
    "find_function_tools",
    "function_tool",
    "register_plugin",
    "resolve_llm",
    "resolve_realtime",
    "resolve_stt",
    "resolve_tts",
    "resolve_vad",
    "split_sentences",
    "split_words",
    "strip_markdown",
    "tool_output_text",
]
