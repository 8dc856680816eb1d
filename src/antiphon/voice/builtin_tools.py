"""Tools that act on the call itself: end it, transfer it, send keys.

What a telephone can do comes in as functions, so that these tools know nothing of trunks and providers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..models.errors import StopResponse, ToolError
from ..models.tools import FunctionTool, RunContext
from .controllers.hang_up import HangUp
from .events import CloseReason

Transfer = Callable[[str], Awaitable[None]]
SendDtmf = Callable[[str], Awaitable[None]]

NO_TELEPHONE = "This call is not on a telephone, so {what}. Tell the user."
_DIGITS = re.compile(r"[0-9*#A-Dw]{1,64}")
_DESTINATION = re.compile(r"\+?[0-9]{2,15}|sips?:[^\s@]+@[^\s@]+")


def end_call_tool(
    goodbye: str = "",
    *,
    description: str = "End the call, when the user has said goodbye or wants nothing more.",
    deadline: float = 30.0,
) -> FunctionTool:
    """`end_call`: hangs up, whatever the user says or does meanwhile.

    What the agent says before the call is heard first, then `goodbye`.

    Args:
        goodbye: said last; empty: nothing.
        description: for the model.
        deadline: seconds, from the tool's call, for all that to be heard.
    """

    async def end_call(_arguments: dict[str, Any], context: RunContext[Any]) -> None:
        HangUp(
            goodbye, reason=CloseReason.AGENT_HANGUP, deadline=deadline, after=context.speech_handle
        ).attach(context.session)
        raise StopResponse("the call ends")

    return FunctionTool.from_schema("end_call", description, {"type": "object", "properties": {}}, end_call)


def transfer_call_tool(
    transfer: Transfer | None,
    *,
    destinations: Mapping[str, str] | None = None,
    description: str = "Transfer the call to somebody else. Tell the user before you do.",
    timeout: float = 30.0,
) -> FunctionTool:
    """`transfer_call(to)`: passes the caller on.

    Args:
        transfer: does it, given a telephone number or SIP address; None: there is no telephone.
        destinations: names that the model may choose from, and what each stands for. Without them the model may name any
            number, which callers can talk it into: give them wherever calls cost money.
        description: for the model.
        timeout: seconds for `transfer`.
    """
    to: dict[str, Any] = {"type": "string", "description": "Telephone number or SIP address."}
    if destinations is not None:
        to = {"type": "string", "enum": sorted(destinations), "description": "Whom to transfer to."}

    async def transfer_call(arguments: dict[str, Any], context: RunContext[Any]) -> None:
        if transfer is None:
            raise ToolError(NO_TELEPHONE.format(what="it cannot be transferred"))
        name = str(arguments["to"])
        target = destinations[name] if destinations is not None else _destination(name)
        try:
            async with asyncio.timeout(timeout):
                await context.wait_for_playout()
                await transfer(target)
        except TimeoutError as error:
            raise ToolError("The transfer was not answered in time. Tell the user.") from error
        raise StopResponse("the call is transferred")

    schema = {"type": "object", "properties": {"to": to}, "required": ["to"]}
    return FunctionTool.from_schema("transfer_call", description, schema, transfer_call)


def _destination(text: str) -> str:
    """A number without the marks that people write in it, or a SIP address as it is."""
    target = text.strip() if text.strip().startswith(("sip:", "sips:")) else re.sub(r"[\s().-]", "", text)
    if not _DESTINATION.fullmatch(target):
        raise ToolError(f"{text!r} is neither a telephone number nor a SIP address.")
    return target


def send_dtmf_tool(
    send: SendDtmf | None,
    *,
    description: str = "Press keys of the telephone, as in the menu of an automatic system.",
    timeout: float = 30.0,
) -> FunctionTool:
    """`send_dtmf(digits)`: presses keys.

    Args:
        send: does it, given digits of `0`-`9`, `*`, `#`, `A`-`D`, and `w` for a pause; None: there is no telephone.
        description: for the model.
        timeout: seconds for `send`.
    """

    async def send_dtmf(arguments: dict[str, Any], _context: RunContext[Any]) -> str:
        if send is None:
            raise ToolError(NO_TELEPHONE.format(what="no keys can be pressed"))
        digits = re.sub(r"[\s-]", "", str(arguments["digits"]))
        if not _DIGITS.fullmatch(digits):
            raise ToolError("digits are 0-9, *, #, A-D, or w for a pause; at most 64 of them.")
        try:
            async with asyncio.timeout(timeout):
                await send(digits)
        except TimeoutError as error:
            raise ToolError("The keys could not be sent in time. Tell the user.") from error
        return "sent"

    digits = {"type": "string", "description": "0-9, *, #, A-D; w is a pause of half a second."}
    schema = {"type": "object", "properties": {"digits": digits}, "required": ["digits"]}
    return FunctionTool.from_schema("send_dtmf", description, schema, send_dtmf)
