"""Models by name: `"deepgram/nova-3"`, `"cartesia/sonic-2:voice-id"`, `"silero"`.

A vendor is a plugin: a module `antiphon.plugins.<vendor>`, an entry point of the group `antiphon.plugins`, or anything
given to `register_plugin`. It offers the kinds it has as functions of (model, voice) and, by keyword, of settings such as
`api_key`: `create_stt`, `create_llm`, `create_tts`, `create_vad`, `create_realtime`. They raise `ConfigurationError` for a model they do not
know or a key that is not set. It may also have `check()`, which raises `ConfigurationError` when nothing of it can be used.

Plugins are found by name only, and imported when first asked for, so that nobody pays for a vendor he does not use.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import os
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import ConfigurationError, MissingPlugin
from .llm import LLM
from .realtime import RealtimeModel
from .stt import STT
from .tts import TTS
from .vad import VAD

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)

Kind = Literal["stt", "llm", "tts", "vad", "realtime"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ENTRY_POINT_GROUP = "antiphon.plugins"
LOCAL_MODELS_VARIABLE = "ANTIPHON_MODELS"

_PLUGIN_PACKAGE = "antiphon.plugins"
_VENDOR = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_EXTRAS = {"silero": "local"}  # where the extra is not named after the vendor
_LOCAL: dict[Kind, str] = {
    "stt": "local/moonshine-tiny",
    "llm": "local/scripted",
    "tts": "local/espeak",
    "vad": "silero/vad",
}
_ON_THIS_MACHINE = ("local", "silero")
_BASES: dict[Kind, type] = {"stt": STT, "llm": LLM, "tts": TTS, "vad": VAD, "realtime": RealtimeModel}
_CLASSES: dict[str, Kind] = {"STT": "stt", "LLM": "llm", "TTS": "tts", "VAD": "vad"}
_WHAT = {
    "stt": "speech recogniser",
    "llm": "language model",
    "tts": "voice",
    "vad": "voice activity detector",
    "realtime": "realtime model",
}
_HINT = (
    f"{LOCAL_MODELS_VARIABLE}=local in the environment runs any agent that names its models, as in "
    'AgentSession(stt="deepgram/nova-3"), on the local models.'
)

_registered: dict[str, Any] = {}
_announced: set[str] = set()


@dataclass(frozen=True)
class ModelName:
    """A parsed name.

    Attributes:
        vendor: the plugin.
        model: which of the vendor's models; empty for its default. It may contain `/`.
        voice: the voice of a TTS, the language of an STT, the tag of an LLM; None when the name has no `:`.
    """

    vendor: str
    model: str = ""
    voice: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read `vendor`, `vendor/model` or `vendor/model:voice`; the voice follows the last `:`.

        Raises:
            ConfigurationError: the text is no such name.
        """
        vendor, _, rest = text.strip().partition("/")
        model, colon, voice = rest.rpartition(":") if ":" in rest else (rest, "", "")
        if not _VENDOR.fullmatch(vendor) or any(c.isspace() for c in rest) or (colon and not voice):
            raise ConfigurationError(
                f"{text!r} is not the name of a model; write vendor/model or vendor/model:voice, "
                'as in "deepgram/nova-3" or "cartesia/sonic-2:voice-id"'
            )
        return cls(vendor.lower(), model, voice if colon else None)

    def __str__(self) -> str:
        text = f"{self.vendor}/{self.model}" if self.model or self.voice else self.vendor
        return f"{text}:{self.voice}" if self.voice else text


def register_plugin(name: str, plugin: Any) -> None:
    """Make a vendor known in this process, before any other of that name.

    Args:
        name: the vendor in model names.
        plugin: an object or module with `create_stt` and so on, or the dotted name of such a module.
            None takes an earlier registration back.
    """
    if plugin is None:
        _registered.pop(name, None)
    else:
        _registered[name] = plugin


def resolve_stt(name: str, **settings: Any) -> STT:
    """The recogniser called `name`, as in `"assemblyai/universal-streaming:en"`.

    Args:
        name: vendor, model and language.
        **settings: what else the vendor's plugin takes, as `api_key`.

    Raises:
        ConfigurationError: there is none, or it cannot be used as this machine is set up; says what to do.
    """
    model: STT = _resolve("stt", name, settings)
    return model


def resolve_llm(name: str, **settings: Any) -> LLM:
    """The language model called `name`, as in `"openai/gpt-4o-mini"`. Raises as `resolve_stt`."""
    model: LLM = _resolve("llm", name, settings)
    return model


def resolve_tts(name: str, **settings: Any) -> TTS:
    """The voice called `name`, as in `"cartesia/sonic-2:voice-id"`. Raises as `resolve_stt`."""
    model: TTS = _resolve("tts", name, settings)
    return model


def resolve_vad(name: str, **settings: Any) -> VAD:
    """The voice activity detector called `name`, as in `"silero"`. Raises as `resolve_stt`."""
    model: VAD = _resolve("vad", name, settings)
    return model


def resolve_realtime(name: str, **settings: Any) -> RealtimeModel:
    """The realtime model called `name`, as in `"openai/gpt-realtime:marin"`. Raises as `resolve_stt`."""
    model: RealtimeModel = _resolve("realtime", name, settings)
    return model


def available() -> dict[Kind, list[str]]:
    """The vendors of each kind that can be used now. Imports every plugin."""
    ready: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for vendor in plugin_names():
        try:
            plugin = load_plugin(vendor)
            check = getattr(plugin, "check", None)
            if check is not None:
                check()
        except ConfigurationError as error:
            logger.debug("%s cannot be used: %s", vendor, error)
            continue
        for kind in KINDS:
            if hasattr(plugin, f"create_{kind}"):
                ready[kind].append(vendor)
    return ready


def plugin_names() -> list[str]:
    """The vendors that are installed, whether or not they can be used as the machine is set up."""
    package = importlib.import_module(_PLUGIN_PACKAGE)
    names = {module.name for module in pkgutil.iter_modules(package.__path__)}
    names.update(entry.name for entry in _entry_points())
    return sorted(names | set(_registered))


def _resolve(kind: Kind, text: str, settings: Mapping[str, Any]) -> Any:
    asked = ModelName.parse(text)
    name = _local_instead(kind, asked)
    if name is not asked:  # settings of the model that was asked for
        settings = {}
    plugin = load_plugin(name.vendor)
    create = getattr(plugin, f"create_{kind}", None)
    if create is None:
        others = ", ".join(available()[kind]) or "none"
        raise ConfigurationError(
            f"{name.vendor} has no {_WHAT[kind]} ({kind} {text!r}). Ready for {kind}: {others}. {_HINT}"
        )
    model, voice = name.model, name.voice
    if kind == "llm" and voice is not None:  # "ollama/llama3:8b": language models have tags, not voices
        model, voice = f"{model}:{voice}", None
    if settings:
        _check_settings(create, settings, f"{kind} {text!r}")
    try:
        made = create(model, voice, **settings)
    except ImportError as error:
        raise _missing_package(name.vendor, error) from error
    expected = _BASES[kind]
    if not isinstance(made, expected):
        raise ConfigurationError(
            f"the plugin {name.vendor} gave a {type(made).__name__} for {kind} {text!r}, not a {expected.__name__}"
        )
    return made


def _check_settings(create: Any, settings: Mapping[str, Any], what: str) -> None:
    taken = inspect.signature(create).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    known = list(taken)[2:]  # after model and voice
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigurationError(
            f"{what} takes no setting {', '.join(unknown)}; it takes: {', '.join(known) or 'none'}"
        )


def _local_instead(kind: Kind, name: ModelName) -> ModelName:
    """Apply `ANTIPHON_MODELS=local`."""
    setting = os.environ.get(LOCAL_MODELS_VARIABLE, "").strip().lower()
    if not setting or name.vendor in _ON_THIS_MACHINE:
        return name
    if setting != "local":
        raise ConfigurationError(
            f"{LOCAL_MODELS_VARIABLE}={setting} is not understood; the only value is local"
        )
    if kind not in _LOCAL:
        raise ConfigurationError(
            f"{LOCAL_MODELS_VARIABLE}=local: there is no {_WHAT[kind]} on this machine to use instead of {name}; "
            "use stt, llm and tts"
        )
    replaced = f"{kind} {name}"
    if replaced not in _announced:
        _announced.add(replaced)
        logger.info("%s=local: using %s instead of %s", LOCAL_MODELS_VARIABLE, _LOCAL[kind], replaced)
    return ModelName.parse(_LOCAL[kind])


def load_plugin(vendor: str) -> Any:
    """The module or object of a vendor.

    Raises:
        MissingPlugin: there is none, or a package that it needs is missing.
    """
    plugin = _registered.get(vendor)
    if plugin is not None and not isinstance(plugin, str):
        return plugin
    module = vendor.replace("-", "_")
    try:
        if plugin is not None:
            return importlib.import_module(plugin)
        if importlib.util.find_spec(f"{_PLUGIN_PACKAGE}.{module}") is not None:
            return importlib.import_module(f"{_PLUGIN_PACKAGE}.{module}")
        for entry in _entry_points():
            if entry.name == vendor:
                return entry.load()
    except ImportError as error:
        raise _missing_package(vendor, error) from error
    raise MissingPlugin(
        f"No plugin is installed for {vendor!r}. {_HINT} Installed: {', '.join(plugin_names())}; a package with an entry "
        f"point {ENTRY_POINT_GROUP} adds another, and so does register_plugin (CONTRIBUTING.md shows how to write one).",
        name=f"{_PLUGIN_PACKAGE}.{module}",
    )


def missing_name(vendor: str, name: str, *, has: str) -> Exception:
    """The error for a name that a vendor's module does not have, as `LLM` in `openai.LLM`.

    Args:
        vendor: the plugin.
        name: what was looked for.
        has: the classes that the plugin has.
    """
    module = f"{_PLUGIN_PACKAGE}.{vendor}"
    kind = _CLASSES.get(name)
    if kind is None:
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    return MissingPlugin(
        f"{module} has no {name} in this version; it has {has}. Ready for {kind}: {', '.join(available()[kind]) or 'none'}. "
        f"A {_WHAT[kind]} of your own is a class derived from {_BASES[kind].__module__}.{name}, given to "
        f"AgentSession({kind}=...). {_HINT}",
        name=module,
    )


def _entry_points() -> Iterable[EntryPoint]:
    from importlib import metadata  # a sixth of the time that importing this package would take

    return metadata.entry_points(group=ENTRY_POINT_GROUP)


def _missing_package(vendor: str, error: ImportError) -> MissingPlugin:
    package = f"the package {error.name!r}" if error.name else f"a package ({error})"
    extra = _EXTRAS.get(vendor, vendor)
    return MissingPlugin(
        f'{vendor} needs {package}, which cannot be imported. Install it: pip install "antiphon[{extra}]". {_HINT}',
        name=error.name,
    )
