"""docs/calls.md says what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from antiphon.calls.assistant import Assistant, EndCallWebhook, Interaction, Mode, ModelChoice
from antiphon.calls.context_lookup import LookupOutcome
from antiphon.calls.context_strategy import ContextRequest, ContextStrategy
from antiphon.calls.dispatcher import DispatcherOptions
from antiphon.calls.document import Document, parse
from antiphon.calls.lifecycle import CallLimits
from antiphon.calls.number_mapping import NumberMapping
from antiphon.calls.outbound_queue import OutboundCall
from antiphon.calls.status import CallStatus, EndReason
from antiphon.calls.tool_definition import StaticExecution, ToolDefinition, WebhookExecution
from antiphon.calls.trunk import Codec, Provider, Srtp, Transport, Trunk, TrunkAuth

PAGE = (Path(__file__).parents[2] / "docs" / "calls.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize(
    "word", [*CallStatus, *EndReason, *Mode, *LookupOutcome, *Provider, *Transport, *Srtp, *Codec]
)
def test_every_word_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize(
    "model",
    [
        Assistant,
        ModelChoice,
        EndCallWebhook,
        ToolDefinition,
        WebhookExecution,
        StaticExecution,
        NumberMapping,
        ContextStrategy,
        Trunk,
        TrunkAuth,
        OutboundCall,
    ],
)
def test_every_field_is_described(model: type[Document]) -> None:
    missing = [name for name in model.model_fields if f"`{name}`" not in PAGE and f"`{name}." not in PAGE]
    assert missing == []


def test_every_manner_is_described_with_its_default() -> None:
    for name, value in Interaction():
        if not isinstance(value, Document):
            shown = f"{value:g}" if isinstance(value, int | float) else f'`"{value}"`'
            assert f"| `{name}` | {shown} |" in PAGE
            continue
        if f"| `{name}` | off |" in PAGE:
            continue
        for inner, default in value:
            row = re.search(rf"\| `{name}\.{inner}` \| ([^|]*) \|", PAGE)
            assert row, f"{name}.{inner}"
            if isinstance(default, bool):
                assert row[1] == str(default).lower()
            elif isinstance(default, int | float):
                assert row[1] == f"{default:g}"


def test_the_examples_are_valid() -> None:
    assistant, request = EXAMPLES
    assert parse(Assistant, assistant).name == "Bank"
    assert list(ContextRequest(**request).model_dump()) == list(request)


def test_the_limits() -> None:
    limits = CallLimits()
    for name in ("setup", "agent", "no_rtp", "max_duration"):
        assert re.search(rf"\| `{name}` \| [^|]* \| {getattr(limits, name):,g} s \|", PAGE), name


def test_how_calls_are_dialled() -> None:
    options = DispatcherOptions()
    for text in (
        f"the lease of {options.lease_seconds:g} seconds",
        f"after {options.first_retry_seconds:g} seconds, then twice as long each time, "
        f"up to {options.longest_retry_seconds / 60:g} minutes",
        f"After {options.max_attempts} such attempts",
    ):
        assert text in PAGE
