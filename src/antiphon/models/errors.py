"""What can go wrong at a provider, and whether trying again can help."""

from __future__ import annotations


class AntiphonError(Exception):
    """Root of every error that Antiphon raises on purpose."""


class ConfigurationError(AntiphonError):
    """Something is missing or wrong before a call starts; the message says what to do."""


class MissingPlugin(ConfigurationError, ImportError):
    """A vendor's plugin, a model of it, or a package that it needs is not there."""


class ProviderError(AntiphonError):
    """A speech or language provider failed.

    Attributes:
        provider: which one, as in `"deepgram/nova-3"`.
        retryable: whether the same request may succeed later or elsewhere.
    """

    def __init__(self, message: str, *, provider: str = "", retryable: bool = True) -> None:
        super().__init__(message)
        self.provider = provider
        self.retryable = retryable


class ProviderTimeout(ProviderError):
    """A provider did not connect, begin or go on within its deadline."""


class ProviderConnectionError(ProviderError):
    """A provider's connection could not be made, or broke."""


class ProviderStatusError(ProviderError):
    """A provider refused a request with a status code."""

    def __init__(
        self, message: str, *, status: int, provider: str = "", retryable: bool | None = None
    ) -> None:
        if retryable is None:
            retryable = status in (408, 409, 425, 429) or status >= 500
        super().__init__(message, provider=provider, retryable=retryable)
        self.status = status


class AllProvidersFailed(ProviderError):
    """Every provider of a fallback chain failed; `causes` holds why, in order."""

    def __init__(self, message: str, causes: list[BaseException]) -> None:
        super().__init__(message, retryable=True)
        self.causes = causes


class ToolError(AntiphonError):
    """Raised by a tool to tell the model something: the message reaches the model as is."""


class StopResponse(AntiphonError):
    """Raised in `on_user_turn_completed` or a tool: no reply is wanted."""


def describe(error: BaseException) -> str:
    """What a log may say of an error.

    Our own errors and the system's speak for themselves. Of others, and of what a tool tells the model, it is the kind
    alone: code that handles words fails with words, and no log above level DEBUG may quote a conversation.
    """
    ours = isinstance(error, AntiphonError) and not isinstance(error, ToolError | StopResponse)
    if (ours or isinstance(error, OSError)) and (words := str(error)):
        return words
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
