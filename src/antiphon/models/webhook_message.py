"""One message to a web service that somebody else configured, by the Standard Webhooks convention.

Source: Standard Webhooks specification, "Webhook headers" and "Signature scheme".
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from .outbound_http import OutboundPolicy, OutboundResponse, post, sign

_OUR_HEADERS = frozenset({"content-type", "webhook-id", "webhook-timestamp", "webhook-signature"})


async def post_message(
    url: str,
    body: bytes,
    *,
    message_id: str,
    headers: Mapping[str, str] | None = None,
    secret: str | None = None,
    timeout: float,
    policy: OutboundPolicy | None = None,
    read_body: bool = True,
) -> OutboundResponse:
    """POST a JSON message, once.

    Args:
        url: the service; see `outbound_http` for where it may be.
        body: JSON in UTF-8.
        message_id: the same for every attempt to deliver one message; the service tells repetitions by it.
        headers: sent along, as an authorisation; those of the convention cannot be replaced.
        secret: signs the message; None: it is not signed.
        timeout: seconds for all of it.
        policy: where it may go and how long the answer may be.
        read_body: whether the body of the answer counts.

    Returns:
        The answer, whatever its status.

    Raises:
        TargetRefused, OutboundError: as for `outbound_http.post`.
        ConfigurationError: the secret cannot be one.
    """
    now = int(time.time())
    own = {name: value for name, value in (headers or {}).items() if name.lower() not in _OUR_HEADERS}
    ours = {"Content-Type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(now)}
    if secret is not None:
        ours |= sign(secret, message_id, now, body)
    return await post(url, body, headers={**own, **ours}, timeout=timeout, policy=policy, read_body=read_body)
