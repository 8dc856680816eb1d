"""Asks a web service about a caller while the call rings. Never fails a call: whatever goes wrong, there is no context.

What went wrong is told by `outcome` and logged, without anything of what was sent or answered.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..models.chat_context import new_id
from ..models.errors import ConfigurationError
from ..models.outbound_http import OutboundError, OutboundPolicy, TargetRefused
from ..models.webhook_message import post_message
from ..store import InvalidDocument, check_value
from .context_strategy import LONGEST_RESPONSE, ContextRefused, ContextRequest, ContextStrategy, read_context

logger = logging.getLogger(__name__)

_SLACK = 1.0  # seconds by which the HTTP client would give up later than we do


class LookupOutcome(StrEnum):
    FOUND = "found"
    TIMEOUT = "timeout"  # no whole answer in time
    UNREACHABLE = "unreachable"  # no connection, or it broke
    REFUSED = "refused"  # the address is not one that we call
    BAD_STATUS = "bad_status"  # an answer other than 2xx; redirects are not followed
    BAD_ANSWER = "bad_answer"  # too long, not JSON, or without a usable context
    NOT_CONFIGURED = "not_configured"  # the strategy is gone, or cannot be read


@dataclass(frozen=True, slots=True)
class ContextLookup:
    """What came of a lookup.

    Attributes:
        context: for `{{context.…}}`; empty unless it was found.
        outcome: how it went.
        seconds: how long it took.
        detail: more for people; nothing of the context.
    """

    outcome: LookupOutcome
    context: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """What the call's document keeps of it in `context_lookup`."""
        kept: dict[str, Any] = {"outcome": str(self.outcome), "seconds": round(self.seconds, 3)}
        return {**kept, "detail": self.detail} if self.detail else kept


async def look_up(
    strategy: ContextStrategy, request: ContextRequest, *, policy: OutboundPolicy | None = None
) -> ContextLookup:
    """Ask once, within the strategy's own time limit.

    Args:
        strategy: whom to ask, its secrets revealed.
        request: about which call.
        policy: where requests may go.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    context: dict[str, Any] = {}
    outcome, detail = LookupOutcome.FOUND, ""
    try:
        async with asyncio.timeout(strategy.timeout_seconds):
            context = await _ask(strategy, request, policy)
    except TimeoutError:
        outcome, detail = LookupOutcome.TIMEOUT, f"no answer within {strategy.timeout_seconds:g} s"
    except _BadStatus as error:
        outcome, detail = LookupOutcome.BAD_STATUS, str(error)
    except (ContextRefused, InvalidDocument) as error:
        outcome, detail = LookupOutcome.BAD_ANSWER, str(error)
    except TargetRefused as error:
        outcome, detail = LookupOutcome.REFUSED, str(error)
    except OutboundError as error:
        outcome = LookupOutcome.UNREACHABLE if error.retryable else LookupOutcome.BAD_ANSWER
        detail = str(error)
    except ConfigurationError as error:
        outcome, detail = LookupOutcome.NOT_CONFIGURED, str(error)
    lookup = ContextLookup(outcome, context, loop.time() - began, detail[:500])
    level = logging.INFO if outcome is LookupOutcome.FOUND else logging.WARNING
    logger.log(
        level,
        "context of strategy %s for room %s: %s in %.2f s%s",
        request.strategy_id,
        request.room_name,
        lookup.outcome,
        lookup.seconds,
        f": {lookup.detail}" if lookup.detail else "",
    )
    return lookup


class _BadStatus(Exception):
    """The service answered with something other than success."""


async def _ask(
    strategy: ContextStrategy, request: ContextRequest, policy: OutboundPolicy | None
) -> dict[str, Any]:
    response = await post_message(
        strategy.url,
        request.model_dump_json().encode(),
        message_id=new_id("msg"),
        headers=strategy.headers,
        secret=strategy.secret,
        timeout=strategy.timeout_seconds + _SLACK,
        policy=policy or OutboundPolicy(max_response=LONGEST_RESPONSE),
    )
    if not response.ok:
        raise _BadStatus(f"the service answered with status {response.status}")
    context = read_context(response.body)
    check_value(context, "context")  # what the store cannot hold would fail the call's record
    return context
