"""What would make a call of an assistant silent, found when it is saved rather than when somebody calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..models import registry
from ..models.errors import ConfigurationError
from ..voice.turn_detection import choose
from .assistant import Assistant, Mode, ModelChoice, TurnDetection
from .document import DocumentRefused, FieldProblem, merge, parse
from .secret_changes import ELSEWHERE

# Which models a mode runs on. What it does not use must not be given: it would look as if it had an effect.
USES: dict[Mode, tuple[str, ...]] = {
    Mode.CASCADE: ("stt", "llm", "tts"),
    Mode.PIPELINE: ("realtime", "tts"),
    Mode.REALTIME: ("realtime",),
}
_PATH = re.compile(r"[/\\]|\.\.|\.toml")
_EXAMPLES = {
    "stt": '{"provider": "local", "model": "moonshine-tiny"}',
    "llm": '{"provider": "local", "model": "scripted:bank"}',
    "tts": '{"provider": "local", "model": "espeak"}',
    "realtime": '{"provider": "openai"}',
}


def create_assistant(data: object, *, known_tools: Collection[str] | None = None) -> Assistant:
    """Read a new assistant and check that it could take a call.

    Args:
        data: the JSON that was sent.
        known_tools: ids of the tools there are; None: not checked.

    Raises:
        DocumentRefused: with every problem by field.
    """
    assistant = parse(Assistant, data)
    if problems := find_problems(assistant, known_tools=known_tools):
        raise DocumentRefused(problems)
    return assistant


def update_assistant(
    current: Assistant, patch: Mapping[str, Any], *, known_tools: Collection[str] | None = None
) -> Assistant:
    """Apply a partial update, and check the whole that comes of it. Secrets that are not in it stay. See `merge`.

    Raises:
        DocumentRefused: as `create_assistant`.
    """
    merged = merge(Assistant, current.model_dump(mode="json"), patch)
    return create_assistant(merged, known_tools=known_tools)


def find_problems(assistant: Assistant, *, known_tools: Collection[str] | None = None) -> list[FieldProblem]:
    """What keeps an assistant from taking a call here. Makes its models, without connecting them."""
    problems: list[FieldProblem] = []
    used = USES[assistant.mode]
    for kind in ("stt", "llm", "tts", "realtime"):
        choice: ModelChoice | None = getattr(assistant, kind)
        if choice is None and kind in used:
            problems.append(
                FieldProblem(kind, f"mode {assistant.mode} needs {kind}, for example {_EXAMPLES[kind]}")
            )
        elif choice is not None and kind not in used:
            needed = ", ".join(used)
            problems.append(
                FieldProblem(
                    kind, f"mode {assistant.mode} does not use {kind}, only {needed}; set {kind} to null"
                )
            )
        elif choice is not None:
            problems += _check_model(kind, choice, assistant.mode)
    if assistant.mode is Mode.CASCADE and assistant.interaction.turn_detection is TurnDetection.AUDIO:
        try:
            choose("audio", has_words=True)
        except ConfigurationError as error:
            problems.append(FieldProblem("interaction.turn_detection", str(error)))
    if known_tools is not None:
        problems += [
            FieldProblem(f"tools.{index}", f"there is no tool {tool!r}")
            for index, tool in enumerate(assistant.tools)
            if tool not in known_tools
        ]
    return problems


def create_model(kind: str, choice: ModelChoice, mode: Mode | None = None) -> Any:
    """The model of a choice, with its options and its own key.

    Args:
        kind: `"stt"`, `"llm"`, `"tts"` or `"realtime"`.
        choice: which one.
        mode: whether a realtime model speaks; None: as its vendor has it.

    Raises:
        ConfigurationError: it is unknown here, or lacks a package or key, or does not take one of the options.
    """
    settings = dict(choice.options)
    if choice.api_key is not None:
        settings["api_key"] = choice.api_key
    if kind == "realtime" and mode is not None:
        settings["modalities"] = ["text"] if mode is Mode.PIPELINE else ["audio"]
    resolve = getattr(registry, f"resolve_{kind}")
    return resolve(choice.registry_name, **settings)


def _check_model(kind: str, choice: ModelChoice, mode: Mode) -> list[FieldProblem]:
    if kind == "realtime" and "modalities" in choice.options:
        return [FieldProblem("realtime.options", "the mode decides the modalities; leave them out")]
    if choice.api_key is None and (places := [name for name in choice.options if ELSEWHERE.search(name)]):
        message = f"{places[0]!r} leads to another server, which must not get this installation's key: give an api_key"
        return [FieldProblem(f"{kind}.options", message)]
    # A path would let whoever may write assistants read files of the server.
    if choice.provider.lower() == "local" and _PATH.search(f"{choice.model}:{choice.voice or ''}"):
        return [FieldProblem(kind, "a local model is chosen by its name here, not by the path of a file")]
    try:
        create_model(kind, choice, mode)
    except ConfigurationError as error:
        return [FieldProblem(kind, str(error))]
    except (TypeError, ValueError) as error:
        return [FieldProblem(f"{kind}.options", f"{choice.provider} does not take these options: {error}")]
    return []
