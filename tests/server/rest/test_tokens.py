"""Tokens for browsers that come with an API key: what may be in their variables, and who a caller may not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "cryptography", "fastapi", "aiortc")


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ('{"context": {"name": "Ann"}, "count": 3}', 200),
        ("{", 422),
        ("[]", 422),
        ('{"context": "Ann"}', 422),
        ('{"a": NaN}', 422),
        ('{"a": 1e999}', 422),
        ('{"a": "\\ud800"}', 422),
        ('{"a": 1' + "0" * 30 + "}", 422),
        ('{"a": 1' + "0" * 4000 + "}", 422),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", 422),
    ],
    ids=lambda value: str(value)[:20],
)
def test_variables_that_no_record_can_hold_are_refused_before_the_call(
    rest: Any, run_clean: Any, variables: str, status: int
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            api.client._transport.app.state.server.authenticator = api.state.authenticator
            await api.assistant(public=False)
            answer = await api.get("/api/get_token", params={"agent": "Bank", "variables": variables})
            assert answer.status_code == status, answer.text
            if status == 422:
                assert answer.json()["code"] == "invalid_request"
            else:
                assert json.loads(variables)

    run_clean(scenario())


def test_nobody_calls_as_the_agent(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            await api.assistant(public=True)
            for identity, status in (("agent", 422), ("agent-1", 200), ("a b", 422)):
                answer = await api.client.get(
                    "/api/get_token", params={"agent": "Bank", "identity": identity}
                )
                assert answer.status_code == status

    run_clean(scenario())
