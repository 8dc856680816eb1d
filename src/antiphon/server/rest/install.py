"""Adds the REST interface to an application."""

from __future__ import annotations

from fastapi import FastAPI

from ..auth import Authenticator
from . import (
    assistants,
    browser_calls,
    call_events,
    calls,
    context_strategies,
    deliveries,
    errors,
    health,
    inbound,
    keys,
    openapi,
    outbound,
    recording,
    tools,
    trunks,
)
from .event_streams import EventStreams
from .prompt_answers import PromptAnswers
from .services import RestServices, RestState

_ROUTES = (
    assistants,
    tools,
    trunks,
    inbound,
    context_strategies,
    outbound,
    calls,
    call_events,
    recording,
    keys,
    deliveries,
    health,
)


def install_rest(app: FastAPI, services: RestServices) -> RestState:
    """Add all routes of the REST interface.

    Call it before the application answers requests, and `state.events.close()` when it is about to stop: event streams
    would keep it open.

    Args:
        app: from `create_app`, whose errors are problem details already.
        services: what the routes work with.

    Returns:
        What they share; give `state.events.publish` to the relay of events.
    """
    state = RestState(
        services,
        Authenticator(services.store),
        EventStreams(most=services.most_streams, most_per_key=services.most_streams_per_key),
    )
    app.state.rest = state
    errors.install(app)
    app.add_middleware(PromptAnswers)
    for module in _ROUTES:
        app.include_router(module.router)
    openapi.install(app, services.public_url, [browser_calls.add])
    return state
