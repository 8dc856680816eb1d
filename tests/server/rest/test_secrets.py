"""Secrets are neither shown, nor replaced by their masks, nor lost, nor sent where their owner did not mean them to go."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "cryptography", "fastapi")

HOOK = {
    "url": "https://crm.example.com/calls",
    "headers": {"Authorization": "Bearer a secret of theirs"},
    "secret": "a signing secret, long enough",
}
TOOL = {"name": "look_up", "description": "Looks something up.", "webhook": HOOK}
STRATEGY = {"name": "crm", **HOOK}


def field_of(answer: Any) -> str:
    return str(answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(
    ("path", "document", "at"),
    [
        ("/assistants", {"end_call_webhook": HOOK}, "end_call_webhook"),
        ("/tools", TOOL, "webhook"),
        ("/inbound_context_strategy", STRATEGY, ""),
    ],
)
def test_what_a_patch_may_not_do_to_secrets(
    rest: Any, run_clean: Any, path: str, document: dict[str, Any], at: str
) -> None:
    def patch(**fields: Any) -> dict[str, Any]:
        return {at: fields} if at else fields

    headers = f"{at}.headers" if at else "headers"
    secret = f"{at}.secret" if at else "secret"

    async def scenario() -> None:
        async with rest() as api:
            made = await (api.assistant(**document) if path == "/assistants" else api.create(path, document))
            one = f"{path}/{made['id']}"
            shown = made[at] if at else made
            assert "secret of theirs" not in str(made)
            assert shown["headers"] == {"Authorization": "********"}
            assert shown["secret"] == "********ough"
            for fields, field in [
                ({"headers": {"X": "Bearer ********"}}, headers),
                ({"headers": shown["headers"]}, headers),
                ({"secret": shown["secret"]}, secret),
                ({"secret": " ********ough"}, secret),
                ({"headers": {"authorization": "Bearer mine"}}, headers),
                # Who may not read a header must not have it sent to himself.
                ({"url": "https://elsewhere.example.com/calls"}, headers),
                ({"url": "https://elsewhere.example.com/calls", "headers": {}}, headers),
                ({"url": "https://elsewhere.example.com/calls", "headers": {"X": "y"}}, headers),
                ({"url": "http://crm.example.com/calls"}, headers),
            ]:
                refused = await api.patch(one, patch(**fields))
                assert (refused.status_code, field_of(refused)) == (422, field), fields
            for fields in [
                {"url": "https://crm.example.com:8443/moved"},
                {"url": "https://elsewhere.example.com/calls", "headers": {"Authorization": "Bearer anew"}},
                {"url": "https://third.example.com/calls", "headers": {"Authorization": None}},
            ]:
                assert (await api.patch(one, patch(**fields))).status_code == 200, fields

    run_clean(scenario())


@pytest.mark.parametrize(
    "options",
    [{"nested": {"api_key": "k"}}, {"servers": [{"name": "a", "auth": {"Authorization": "Bearer k"}}]}],
)
def test_a_key_does_not_hide_deep_among_the_options(
    rest: Any, run_clean: Any, options: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.assistant()
            refused = await api.patch(f"/assistants/{made['id']}", {"llm": {"options": options}})
            assert (refused.status_code, field_of(refused)) == (422, "llm.options")
            assert "looks like a secret" in refused.json()["detail"]

    run_clean(scenario())


def test_a_lost_key_loses_no_other_secret_and_keeps_nobody_from_giving_a_new_one(
    rest: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.assistant(end_call_webhook=HOOK)
        async with rest() as api:
            from antiphon.store import Keyring

            lost = base64.b64encode(bytes(32)).decode()
            api.store._keyring = Keyring.from_environment({"ANTIPHON_SECRET_KEY": lost})
            one = f"/assistants/{made['id']}"
            shown = (await api.get(one)).json()["end_call_webhook"]
            assert (shown["headers"], shown["secret"]) == ({"*": "********"}, "********")
            renamed = await api.patch(one, {"name": "Still there"})
            assert renamed.status_code == 200
            assert renamed.json()["end_call_webhook"] == shown
            # What would drop a secret that nobody can read is refused.
            around = await api.patch(one, {"end_call_webhook": {"attempts": 3}})
            assert (around.status_code, around.json()["code"]) == (409, "secret_key")
            half = await api.patch(one, {"end_call_webhook": {"secret": "another one"}})
            assert (half.status_code, half.json()["code"]) == (409, "secret_key")
            anew = {"secret": "another one", "headers": {"Authorization": "Bearer another"}}
            assert (await api.patch(one, {"end_call_webhook": anew})).status_code == 200
            stored = await api.store.get("assistants", made["id"], reveal=True)
            assert stored["end_call_webhook"] == {**HOOK, **anew, "timeout_seconds": 30.0, "attempts": 8}

    run_clean(scenario())
