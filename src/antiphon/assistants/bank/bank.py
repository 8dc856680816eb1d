"""A small bank in memory: accounts, cards, payees, payments, opening hours.

It starts with the same customer each time. Methods raise `BankError` subclasses; nothing is changed when they do.
"""

from __future__ import annotations

import datetime as dt
import difflib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

CENT = Decimal("0.01")
DAILY_LIMIT = Decimal(2000)


class BankError(Exception):
    """The bank refuses; `outcome` says why in one word, for a program."""

    outcome = "refused"


class UnknownAccount(BankError):
    outcome = "unknown_account"


class UnknownCard(BankError):
    outcome = "unknown_card"


class UnknownPayee(BankError):
    outcome = "unknown_payee"


class SameAccount(BankError):
    outcome = "same_account"


class InvalidAmount(BankError):
    outcome = "invalid_amount"


class InsufficientFunds(BankError):
    outcome = "insufficient_funds"


class DailyLimitExceeded(BankError):
    outcome = "daily_limit"


class AlreadyBlocked(BankError):
    outcome = "already_blocked"


class NotBlocked(BankError):
    outcome = "not_blocked"


class AlreadyOrdered(BankError):
    outcome = "already_ordered"


class CardStatus(Enum):
    ACTIVE = "active"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Transaction:
    """Money that came in (positive) or went out (negative)."""

    date: dt.date
    account: str
    amount: Decimal
    counterparty: str
    id: str = ""


@dataclass
class Card:
    """A payment card; `last_digits` as printed on it."""

    name: str
    last_digits: str
    status: CardStatus = CardStatus.ACTIVE
    replacement_due: dt.date | None = None


@dataclass(frozen=True)
class Hours:
    """When the branch is open on a day; both None when it is closed."""

    opens: dt.time | None = None
    closes: dt.time | None = None

    def is_open_at(self, time: dt.time) -> bool:
        return self.opens is not None and self.closes is not None and self.opens <= time < self.closes


_WEEKDAY = Hours(dt.time(9), dt.time(17, 30))
_LATE = Hours(dt.time(9), dt.time(19))
# Monday to Sunday.
OPENING_HOURS = (_WEEKDAY, _WEEKDAY, _WEEKDAY, _LATE, _WEEKDAY, Hours(dt.time(10), dt.time(14)), Hours())

# Each payee with other names that it goes by.
_PAYEES = {"Alice": (), "Bob": (), "mum": ("mom", "mother"), "landlord": ("rent",)}


@dataclass
class Bank:
    """One customer's bank.

    Attributes:
        now: the clock, for opening hours, dates of payments and the daily limit.
        accounts: balance by account.
        cards: by name.
        payees: who money can be sent to.
        transactions: newest last.
    """

    now: Callable[[], dt.datetime] = dt.datetime.now
    accounts: dict[str, Decimal] = field(
        default_factory=lambda: {"checking": Decimal("1250.75"), "savings": Decimal("8400.00")}
    )
    cards: dict[str, Card] = field(
        default_factory=lambda: {"debit": Card("debit", "4821"), "credit": Card("credit", "9057")}
    )
    payees: list[str] = field(default_factory=lambda: list(_PAYEES))
    transactions: list[Transaction] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.transactions:
            self.transactions.extend(_past_transactions(self.today()))

    def today(self) -> dt.date:
        return self.now().date()

    def balance(self, account: str) -> Decimal:
        """Raises `UnknownAccount`."""
        return self.accounts[self._account(account)]

    def recent_transactions(self, account: str | None = None, count: int = 3) -> list[Transaction]:
        """The latest payments, newest first. Raises `UnknownAccount`."""
        if account is not None:
            account = self._account(account)
        own = [t for t in self.transactions if account is None or t.account == account]
        return own[::-1][: max(count, 0)]

    def find_payee(self, name: str) -> str:
        """The payee meant by a name, small slips forgiven. Raises `UnknownPayee`."""
        wanted = name.strip().lower()
        for payee in self.payees:
            if wanted in (payee.lower(), *_PAYEES.get(payee, ())):
                return payee
        near = difflib.get_close_matches(wanted, [p.lower() for p in self.payees], n=1, cutoff=0.8)
        if near:
            return next(p for p in self.payees if p.lower() == near[0])
        raise UnknownPayee(f"{name} is not among the payees: {', '.join(self.payees)}.")

    def sent_today(self) -> Decimal:
        """What went out by transfer today, transfers between own accounts aside."""
        return sum(
            (
                -t.amount
                for t in self.transactions
                if t.id and t.date == self.today() and t.counterparty in self.payees
            ),
            Decimal(0),
        )

    def transfer(self, amount: Decimal, payee: str, account: str = "checking") -> Transaction:
        """Send money to a payee, or to another account of the customer's own.

        Raises:
            InvalidAmount, UnknownAccount, UnknownPayee, SameAccount, InsufficientFunds, DailyLimitExceeded
        """
        account = self._account(account)
        if not amount.is_finite() or amount < CENT or amount != amount.quantize(CENT):
            raise InvalidAmount("The amount must be at least one cent, in whole cents.")
        own = payee.strip().lower() in self.accounts
        to = payee.strip().lower() if own else self.find_payee(payee)
        if to == account:
            raise SameAccount(f"The money is in {account} already.")
        if amount > self.accounts[account]:
            raise InsufficientFunds(f"There is not enough money in {account}.")
        if not own and self.sent_today() + amount > DAILY_LIMIT:
            raise DailyLimitExceeded(f"Transfers are limited to {DAILY_LIMIT} a day.")
        sent = Transaction(self.today(), account, -amount, to, self._new_id())
        self.accounts[account] -= amount
        self.transactions.append(sent)
        if own:
            self.accounts[to] += amount
            self.transactions.append(Transaction(self.today(), to, amount, account, sent.id))
        return sent

    def block_card(self, name: str) -> Card:
        """Raises `UnknownCard`, `AlreadyBlocked`."""
        card = self._card(name)
        if card.status is CardStatus.BLOCKED:
            raise AlreadyBlocked(f"The {name} card is blocked already.")
        card.status = CardStatus.BLOCKED
        return card

    def order_replacement(self, name: str) -> Card:
        """Order a new card for a blocked one. Raises `UnknownCard`, `NotBlocked`, `AlreadyOrdered`."""
        card = self._card(name)
        if card.status is not CardStatus.BLOCKED:
            raise NotBlocked(f"The {name} card is not blocked.")
        if card.replacement_due is not None:
            raise AlreadyOrdered(f"A new {name} card is on its way.")
        card.replacement_due = self.today() + dt.timedelta(days=5)
        return card

    def hours_on(self, date: dt.date) -> Hours:
        """When the branch is open on a date."""
        return OPENING_HOURS[date.weekday()]

    def is_open(self) -> bool:
        """Whether the branch is open now."""
        now = self.now()
        return self.hours_on(now.date()).is_open_at(now.time())

    def _account(self, name: str) -> str:
        account = name.strip().lower()
        if account not in self.accounts:
            raise UnknownAccount(f"There is no account {name}; there are {_and(self.accounts)}.")
        return account

    def _card(self, name: str) -> Card:
        card = self.cards.get(name.strip().lower())
        if card is None:
            raise UnknownCard(f"There is no card {name}; there are {_and(self.cards)}.")
        return card

    def _new_id(self) -> str:
        letters = random.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=2)
        return "".join((*letters, f"{random.randrange(10000):04d}"))


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


def _past_transactions(today: dt.date) -> list[Transaction]:
    past = (
        (9, "checking", "-820.00", "your landlord"),
        (6, "savings", "200.00", "checking"),
        (4, "checking", "-54.20", "Corner Market"),
        (3, "checking", "2300.00", "your employer"),
        (2, "checking", "-12.99", "Starlight Video"),
        (1, "checking", "-38.50", "City Fuel"),
    )
    return [
        Transaction(today - dt.timedelta(days=days), account, Decimal(amount), counterparty)
        for days, account, amount, counterparty in past
    ]
