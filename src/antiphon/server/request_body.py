"""The body of a request: of bounded length, within bounded time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .problems import Problem

BODY_SECONDS = 30.0
"""Until the whole body must be there."""


async def read_body(request: Request, most: int) -> bytes:
    """The whole body, up to `most` bytes.

    Raises:
        Problem: 400 the client went away meanwhile, 408 it took too long, 413 it is longer.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        detail = f"The body did not come within {BODY_SECONDS:g} seconds."
        raise Problem(408, "too_slow", detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:  # nobody reads this answer
        raise Problem(400, "incomplete", "The body did not come to its end.") from None
    return bytes(body)


def _too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"A body may have {most // 1024} KiB at most.")
