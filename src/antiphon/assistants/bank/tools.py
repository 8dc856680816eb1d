"""The bank's function tools: what the assistant can look up and do for the caller.

Results are dictionaries with an `outcome` (`"ok"`, or why the bank refused) and the facts; amounts are decimal text.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from ...models.tools import RunContext, function_tool
from ...voice.events import CloseReason
from .bank import DAILY_LIMIT, OPENING_HOURS, Bank, BankError, Hours, InvalidAmount

logger = logging.getLogger(__name__)

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CALLBACK_REQUESTED = "human_requested"

Result = dict[str, Any]


class BankTools:
    """The tools over one bank.

    Args:
        bank: whose data; a fresh one by default, so that nothing passes from one caller to the next.
    """

    def __init__(self, bank: Bank | None = None) -> None:
        self.bank = bank or Bank()

    @function_tool
    async def get_balance(self, account: Literal["checking", "savings"]) -> Result:
        """Look up how much money is in an account.

        Args:
            account: The account.
        """
        return self._answer(lambda: {"account": account, "balance": str(self.bank.balance(account))})

    @function_tool
    async def list_transactions(
        self, account: Literal["checking", "savings"] | None = None, count: int = 3
    ) -> Result:
        """List the latest payments, newest first.

        Args:
            account: The account; all accounts when not given.
            count: How many.
        """

        def look_up() -> Result:
            found = self.bank.recent_transactions(account, min(count, 10))
            entries = [
                {
                    "date": t.date.isoformat(),
                    "account": t.account,
                    "amount": str(abs(t.amount)),
                    "direction": "to" if t.amount < 0 else "from",
                    "counterparty": t.counterparty,
                }
                for t in found
            ]
            return {"transactions": entries, **({} if entries else {"outcome": "none"})}

        return self._answer(look_up)

    @function_tool
    async def transfer_money(
        self, amount: float, payee: str, account: Literal["checking", "savings"] = "checking"
    ) -> Result:
        """Send money to a payee or to another account of the caller's own. Ask for confirmation first.

        Args:
            amount: How much, in dollars.
            payee: Who gets it: a payee's name, or "checking" or "savings".
            account: The account it is taken from.
        """

        def send() -> Result:
            sent = self.bank.transfer(_decimal(amount), payee, account)
            return {
                "amount": str(-sent.amount),
                "payee": sent.counterparty,
                "account": sent.account,
                "transaction_id": sent.id,
                "new_balance": str(self.bank.balance(sent.account)),
            }

        known = {"payees": list(self.bank.payees), "limit": str(DAILY_LIMIT)}
        return self._answer(send, known, account=account)

    @function_tool
    async def block_card(self, card: Literal["debit", "credit"]) -> Result:
        """Block a lost or stolen card for good. Ask for confirmation first.

        Args:
            card: Which card.
        """

        def block() -> Result:
            blocked = self.bank.block_card(card)
            return {"card": blocked.name, "last_digits": blocked.last_digits}

        return self._answer(block)

    @function_tool
    async def order_replacement_card(self, card: Literal["debit", "credit"]) -> Result:
        """Order a new card in place of a blocked one.

        Args:
            card: Which card.
        """

        def order() -> Result:
            due = self.bank.order_replacement(card).replacement_due
            return {"card": card, "arrives": due.isoformat() if due else None}

        return self._answer(order)

    @function_tool
    async def get_opening_hours(self, day: str = "all") -> Result:
        """Look up when the branch is open.

        Args:
            day: A weekday, "today", "tomorrow", "weekend", "weekdays", or "all".
        """
        today = self.bank.today()
        day = day.strip().lower()
        if day in ("today", "tomorrow", *_WEEKDAYS):
            date = _date_of(day, today)
            hours = self.bank.hours_on(date)
            name = day if day in ("today", "tomorrow") else f"on {day.capitalize()}s"
            outcome = "closed" if hours.opens is None else "ok"
            if day == "today" and hours.opens is not None:
                outcome = "open_now" if self.bank.is_open() else "closed_now"
            return {"outcome": outcome, "day": name, **_times(hours)}
        days = {"weekend": range(5, 7), "weekdays": range(5)}.get(day, range(7))
        return _several_days(days)

    @function_tool
    async def transfer_to_human(self, context: RunContext[Any]) -> Result:
        """Ask for a person to take over.

        There is no telephone line to transfer here: the request is noted, and a colleague calls back.
        """
        if isinstance(context.userdata, dict):
            context.userdata[_CALLBACK_REQUESTED] = True
        logger.info("the caller asked for a person")
        return {"outcome": "callback", "open": self.bank.is_open()}

    @function_tool
    async def end_conversation(self, context: RunContext[Any]) -> None:
        """End the conversation after the goodbye has been heard."""
        if context.session is not None:
            context.session.shutdown(reason=CloseReason.AGENT_HANGUP)

    def _answer(self, run: Callable[[], Result], facts: Result | None = None, **more: Any) -> Result:
        """Run, and make a refusal of the bank an answer like any other."""
        try:
            return {"outcome": "ok", **run()}
        except BankError as refusal:
            account = more.get("account")
            balance = {"balance": str(self.bank.accounts[account])} if account in self.bank.accounts else {}
            return {"outcome": refusal.outcome, "reason": str(refusal), **balance, **(facts or {}), **more}


def _decimal(amount: float) -> Decimal:
    try:
        return Decimal(str(amount))
    except InvalidOperation as error:
        raise InvalidAmount("The amount is not a number.") from error


def _date_of(day: str, today: dt.date) -> dt.date:
    if day == "today":
        return today
    if day == "tomorrow":
        return today + dt.timedelta(days=1)
    return today + dt.timedelta(days=(_WEEKDAYS.index(day) - today.weekday()) % 7)


def _several_days(days: range) -> Result:
    """The hours of some weekdays, days with the same hours together."""
    by_hours: dict[Hours, list[int]] = {}
    for day in days:
        by_hours.setdefault(OPENING_HOURS[day], []).append(day)
    closed = [f"{_WEEKDAYS[day].capitalize()}s" for day in by_hours.pop(Hours(), [])]
    periods = [{"days": _day_names(group), **_times(hours)} for hours, group in by_hours.items()]
    return {"outcome": "several" if closed else "no_closing_day", "periods": periods, "closed": closed}


def _day_names(days: list[int]) -> str:
    """`Monday to Wednesday and Friday`."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    names = [[_WEEKDAYS[day].capitalize() for day in (run[0], run[-1])] for run in runs]
    return " and ".join(first if first == last else f"{first} to {last}" for first, last in names)


def _times(hours: Hours) -> Result:
    if hours.opens is None or hours.closes is None:
        return {}
    return {"opens": f"{hours.opens:%H:%M}", "closes": f"{hours.closes:%H:%M}"}
