"""The REST interface without a socket, on a store in a file, or on each database where a module has its own `rest_store`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.stores import address, document_server_url

__all__ = ["address", "document_server_url"]

SECRET_KEY = base64.b64encode(bytes(range(32))).decode()

ASSISTANT = {
    "name": "Bank",
    "prompt": "You are the assistant of Example Bank. The caller is {{context.name}}, {{caller_number}}.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted:bank"},
    "tts": {"provider": "local", "model": "espeak"},
}


class Api:
    """A client with a key, and what is behind the interface.

    `await api.get("/calls")`, `await api.create("/tools", {...})`, `api.as_key("ak_…")`.
    """

    def __init__(self, client: Any, store: Any, state: Any, key: str) -> None:
        self.client = client
        self.store = store
        self.state = state
        self.key = key
        self.headers = {"Authorization": f"Bearer {key}"}

    async def __call__(self, method: str, path: str, **options: Any) -> Any:
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        return await self("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Any:
        return await self("POST", path, json=json, **options)

    async def patch(self, path: str, json: Any, **options: Any) -> Any:
        return await self("PATCH", path, json=json, **options)

    async def delete(self, path: str, **options: Any) -> Any:
        return await self("DELETE", path, **options)

    async def create(self, path: str, fields: Any) -> Any:
        response = await self.post(path, fields)
        assert response.status_code == 201, response.text
        return response.json()

    async def assistant(self, **fields: Any) -> Any:
        return await self.create("/assistants", {**ASSISTANT, **fields})

    async def with_scopes(self, *scopes: str, **more: Any) -> Api:
        """The same with a key of its own."""
        from antiphon.server.api_keys import create_key

        key, _ = await create_key(self.store, "of a test", scopes, **more)
        return Api(self.client, self.store, self.state, key)


@pytest.fixture
def rest_store(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'rest.db'}"


@pytest.fixture
def rest(rest_store: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractAsyncContextManager[Api]]:
    """`async with rest(**services) as api`: the interface of a new store, and a key that may do everything."""
    import httpx

    from antiphon.rooms.local import LocalRooms
    from antiphon.server import ServerSettings, create_app
    from antiphon.server.api_keys import create_key
    from antiphon.server.platform.stored_assistants import StoredAssistants
    from antiphon.server.rest import RestServices, install_rest
    from antiphon.store import open_store

    monkeypatch.setenv("ANTIPHON_SECRET_KEY", SECRET_KEY)

    @asynccontextmanager
    async def opened(**services: Any) -> AsyncIterator[Api]:
        async with open_store(rest_store) as store:
            app = create_app(ServerSettings(), StoredAssistants(store, None), LocalRooms())
            state = install_rest(app, RestServices(store, **services))
            key, _ = await create_key(store, "test", ["*"])
            transport = httpx.ASGITransport(app, client=("192.0.2.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield Api(client, store, state, key)

    return opened
