"""The in-memory bank and its tools."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.assistants.bank import Bank, BankTools
from antiphon.assistants.bank.bank import (
    AlreadyBlocked,
    AlreadyOrdered,
    BankError,
    CardStatus,
    DailyLimitExceeded,
    InsufficientFunds,
    InvalidAmount,
    NotBlocked,
    SameAccount,
    UnknownAccount,
    UnknownCard,
    UnknownPayee,
)
from antiphon.models.chat_context import ToolCall
from antiphon.models.tools import RunContext, find_function_tools

MONDAY_TEN = dt.datetime(2026, 11, 23, 10, 0)


def bank_at(now: dt.datetime = MONDAY_TEN) -> Bank:
    return Bank(now=lambda: now)


def call(tools: BankTools, name: str, **arguments: Any) -> Any:
    tool = next(tool for tool in find_function_tools(tools) if tool.name == name)
    context = RunContext(None, None, ToolCall("call_1", name), {})
    return asyncio.run(tool.call(arguments, context))


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda bank: bank.balance("gold"), UnknownAccount),
        (lambda bank: bank.transfer(Decimal(10), "Zoe"), UnknownPayee),
        (lambda bank: bank.transfer(Decimal(0), "Alice"), InvalidAmount),
        (lambda bank: bank.transfer(Decimal(-5), "Alice"), InvalidAmount),
        (lambda bank: bank.transfer(Decimal("0.001"), "Alice"), InvalidAmount),
        (lambda bank: bank.transfer(Decimal("NaN"), "Alice"), InvalidAmount),
        (lambda bank: bank.transfer(Decimal(1251), "Alice"), InsufficientFunds),
        (lambda bank: bank.transfer(Decimal(2001), "Alice", "savings"), DailyLimitExceeded),
        (lambda bank: bank.transfer(Decimal(10), "checking"), SameAccount),
        (lambda bank: bank.block_card("gold"), UnknownCard),
        (lambda bank: bank.order_replacement("debit"), NotBlocked),
    ],
)
def test_refusals_change_nothing(act: Any, error: type[BankError]) -> None:
    bank = bank_at()
    before = (dict(bank.accounts), list(bank.transactions))
    with pytest.raises(error):
        act(bank)
    assert (bank.accounts, bank.transactions) == before


@pytest.mark.parametrize(
    ("name", "payee"), [("alice", "Alice"), ("BOB", "Bob"), ("mom", "mum"), ("landlorde", "landlord")]
)
def test_payees_are_found_by_other_names(name: str, payee: str) -> None:
    assert bank_at().find_payee(name) == payee


def test_a_card_is_blocked_once_and_replaced_once() -> None:
    bank = bank_at()
    assert bank.block_card("debit").status is CardStatus.BLOCKED
    with pytest.raises(AlreadyBlocked):
        bank.block_card("debit")
    assert bank.order_replacement("debit").replacement_due == dt.date(2026, 11, 28)
    with pytest.raises(AlreadyOrdered):
        bank.order_replacement("debit")
    assert bank.cards["credit"].status is CardStatus.ACTIVE


def test_the_daily_limit_counts_all_of_the_day_but_own_accounts() -> None:
    bank = bank_at()
    bank.transfer(Decimal(1500), "Alice", "savings")
    bank.transfer(Decimal(3000), "checking", "savings")
    with pytest.raises(DailyLimitExceeded):
        bank.transfer(Decimal(501), "Bob", "savings")
    bank.transfer(Decimal(500), "Bob", "savings")


@given(
    st.lists(
        st.tuples(st.decimals(-10, 3000, places=2), st.sampled_from(["Alice", "savings", "checking", "x"]))
    )
)
def test_money_is_neither_made_nor_lost(transfers: list[tuple[Decimal, str]]) -> None:
    bank = bank_at()
    start = sum(bank.accounts.values())
    sent = Decimal(0)
    for amount, payee in transfers:
        try:
            transaction = bank.transfer(amount, payee, "savings")
        except BankError:
            continue
        sent += amount if transaction.counterparty == "Alice" else 0
    assert sum(bank.accounts.values()) == start - sent
    assert min(bank.accounts.values()) >= 0


@pytest.mark.parametrize(
    ("now", "day", "expected"),
    [
        (dt.datetime(2026, 11, 23, 10, 0), "today", {"outcome": "open_now", "closes": "17:30"}),
        (dt.datetime(2026, 11, 23, 17, 30), "today", {"outcome": "closed_now", "opens": "09:00"}),
        (dt.datetime(2026, 11, 22, 10, 0), "today", {"outcome": "closed"}),
        (
            dt.datetime(2026, 11, 22, 10, 0),
            "tomorrow",
            {"outcome": "ok", "day": "tomorrow", "opens": "09:00"},
        ),
        (MONDAY_TEN, "Saturday", {"outcome": "ok", "day": "on Saturdays", "closes": "14:00"}),
        (MONDAY_TEN, "weekend", {"outcome": "several", "closed": ["Sundays"]}),
        (MONDAY_TEN, "weekdays", {"outcome": "no_closing_day", "closed": []}),
    ],
)
def test_opening_hours(now: dt.datetime, day: str, expected: dict[str, Any]) -> None:
    answer = call(BankTools(bank_at(now)), "get_opening_hours", day=day)
    assert {key: answer[key] for key in expected} == expected


def test_a_refusal_is_an_answer_with_its_reason() -> None:
    answer = call(BankTools(bank_at()), "transfer_money", amount=5000, payee="Alice")
    assert answer["outcome"] == "insufficient_funds"
    assert answer["balance"] == "1250.75"


def test_a_transfer_answers_with_the_new_balance() -> None:
    answer = call(BankTools(bank_at()), "transfer_money", amount=120.5, payee="alice")
    assert (answer["outcome"], answer["payee"], answer["new_balance"]) == ("ok", "Alice", "1130.25")
    assert len(answer["transaction_id"]) == 6


def test_each_set_of_tools_has_a_bank_of_its_own_unless_shared() -> None:
    call(BankTools(), "block_card", card="debit")
    assert call(BankTools(), "block_card", card="debit")["outcome"] == "ok"
    shared = bank_at()
    call(BankTools(shared), "block_card", card="debit")
    assert call(BankTools(shared), "block_card", card="debit")["outcome"] == "already_blocked"
