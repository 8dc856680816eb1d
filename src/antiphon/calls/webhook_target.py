"""Whom an assistant tells of its calls, as the fields of a delivery."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..store import NotFound, Store


async def target_of(store: Store, assistant_id: str | None, *, reveal: bool = True) -> dict[str, Any] | None:
    """Where webhooks of an assistant go and how; of a deleted one too. None: nobody is told.

    Args:
        reveal: False: without its secrets.

    Raises:
        SecretError: the secrets cannot be read.
    """
    if assistant_id is None:
        return None
    try:
        assistant = await store.get("assistants", assistant_id, reveal=reveal, include_deleted=True)
    except NotFound:
        return None
    webhook = assistant.get("end_call_webhook")
    if not webhook:
        return None
    return {
        "url": webhook["url"],
        "host": urlsplit(webhook["url"]).netloc.rpartition("@")[2].lower(),
        # Nothing is stored where there is nothing, so that it needs no key.
        "headers": (webhook.get("headers") or None) if reveal else None,
        "secret": webhook.get("secret") if reveal else None,
        "timeout_seconds": webhook.get("timeout_seconds", 30.0),
        "max_attempts": webhook.get("attempts", 8),
    }
