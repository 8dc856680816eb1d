"""`antiphon keys`: API keys at the command line, where the first one comes from."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..models.errors import AntiphonError
from .errors import WRONG_USAGE, complain

app = typer.Typer(
    name="keys", help="Make, list, rotate and revoke API keys.", no_args_is_help=True, add_completion=False
)

T = TypeVar("T")

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", help="Where the platform keeps its documents. Default: as `antiphon serve` here."
    ),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings of the server, TOML.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="Who or what uses it.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; several may be given. Default: everything (*).")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it works, as 90d, 12h or 30m. Default: for ever.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it. It cannot be shown again."""
    from ..server import api_keys

    expires_at = None if expires is None else time.time() + _seconds(expires)
    key, document = _with_store(
        store,
        config,
        lambda opened: api_keys.create_key(opened, name, scope or [api_keys.ALL], expires_at=expires_at),
    )
    _tell(f"{document['id']}: {', '.join(document['scopes'])}. Keep the key: it is not shown again.")
    print(key)


@app.command("list")
def list_keys(store: StoreOption = None, config: ConfigOption = None) -> None:
    """Show what keys there are, without the keys."""

    async def read(opened: Any) -> list[dict[str, Any]]:
        return [document async for document in opened.each("api_keys")]

    for document in _with_store(store, config, read):
        used = _date(document.get("last_used_at")) or "never used"
        until = _date(document.get("expires_at"))
        print(
            f"{document['id']}  {document['prefix']}…  {document['name']}  [{', '.join(document['scopes'])}]  "
            f"{used}{f'  until {until}' if until else ''}"
        )


@app.command("rotate")
def rotate(
    id: Annotated[str, typer.Argument(help="Of the key to replace.")],
    grace: Annotated[str, typer.Option(help="How long the old key goes on working.")] = "1d",
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a key that replaces another one, and print it."""
    from ..server import api_keys

    key, document = _with_store(
        store, config, lambda opened: api_keys.rotate_key(opened, id, grace_seconds=_seconds(grace))
    )
    _tell(f"{document['id']} replaces {id}, which works for {grace} more.")
    print(key)


@app.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="Of the key.")],
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a key useless at once."""
    from ..server import api_keys

    _with_store(store, config, lambda opened: api_keys.revoke_key(opened, id))
    _tell(f"{id} is revoked.")


def _with_store(address: str | None, config: Path | None, use: Callable[[Any], Awaitable[T]]) -> T:
    from ..server.platform.settings_sources import load_settings
    from ..store import open_store

    async def run() -> T:
        settings = load_settings(config, explicit={"store": address}).settings
        async with open_store(settings.store) as opened:
            return await use(opened)

    try:
        return asyncio.run(run())
    except AntiphonError as error:
        complain(str(error))
        raise typer.Exit(WRONG_USAGE) from None


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time; write 90d, 12h, 30m or 10s")
    return int(found[1]) * _UNITS[found[2]]


def _date(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds).isoformat(" ", "minutes")


def _tell(text: str) -> None:
    """Beside the key, which alone goes to standard output: `KEY=$(antiphon keys create …)`."""
    typer.echo(text, err=True)
