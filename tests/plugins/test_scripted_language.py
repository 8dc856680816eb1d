"""How the scripted model reads English: numbers, amounts, days, answers, sounds; and how it says them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.plugins.local.scripted.answers import is_only_cancel, refuses, yes_or_no
from antiphon.plugins.local.scripted.phonetics import edit_distance, phonetic_key, similarity
from antiphon.plugins.local.scripted.slots import Slot, SlotReader, Value
from antiphon.plugins.local.scripted.speech import (
    spelled,
    spoken_date,
    spoken_integer,
    spoken_list,
    spoken_money,
    spoken_ordinal,
    spoken_time,
)
from antiphon.plugins.local.scripted.tokens import words

TODAY = dt.date(2026, 11, 21)  # a Saturday
SLOTS = {
    "amount": Slot("amount", "money"),
    "count": Slot("count", "number"),
    "account": Slot("account", "choice", values={"checking": ("current",), "savings": ()}, after=("from",)),
    "payee": Slot(
        "payee", "choice", values={"Alice": (), "Bob": (), "mum": ("mom",)}, after=("to", "pay"), open=True
    ),
    "day": Slot("day", "day"),
    "date": Slot("date", "date"),
    "time": Slot("time", "time"),
    "place": Slot("place", "text", after=("in", "for")),
}
READER = SlotReader(SLOTS, frozenset({"send", "transfer", "money", "pay", "weather"}))


def read(text: str, *names: str, asked: str | None = None) -> dict[str, Value]:
    return dict(READER.read(text, names, asked, TODAY).values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's my mum's balance?", "what is my mum balance"),
        ("I can't, don't and won't", "i can not do not and will not"),
        ("Café, José!", "cafe jose"),
        ("one hundred and twenty-five", "125"),
        ("two thousand three hundred forty five", "2345"),
        ("a hundred", "100"),
        ("Open to-morrow, or to morrow?", "open tomorrow or tomorrow"),
        ("forty to dollars to Alice", "42 dollars to alice"),
        ("forty to Alice", "40 to alice"),
        ("twelve hundred", "1200"),
        ("a couple of hundred", "a 200"),
        ("two and a half thousand", "2500"),
        ("three point one four", "3.14"),
        ("too hundred", "200"),
        ("for hundred", "400"),
        ("the twenty first of december", "the 21st of december"),
        ("that one", "that one"),
        ("$1,200.50", "1200.5"),
        ("3.5k", "3500"),
        ("one two three", "1 2 3"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("fifty", "50"),
        ("fifty quid", "50"),
        ("a hundred dollars", "100"),
        ("one hundred and twenty five fifty", "125.50"),
        ("one hundred twenty dollars and fifty cents", "120.50"),
        ("twelve fifty", "12.50"),
        ("two fifty", "250"),
        ("fifty cents", "0.50"),
        ("$1,200.50", "1200.50"),
        ("200 dollars", "200"),
        ("two grand", "2000"),
        ("five k", "5000"),
        ("a tenner", "10"),
        ("a thousand two hundred", "1200"),
        ("not fifty, sixty", "60"),
        ("sixty not fifty", "60"),
        ("fifty, sorry, sixty dollars", "60"),
        ("5 dollars 25", "5.25"),
    ],
)
def test_amounts(text: str, amount: str) -> None:
    assert read(text, "amount", asked="amount") == {"amount": Decimal(amount)}


@given(st.decimals(min_value=0, max_value=999_999, places=2), st.sampled_from(["dollars", "pounds", "euros"]))
def test_every_spoken_amount_is_read_back(amount: Decimal, currency: str) -> None:
    assert read(spoken_money(amount, currency), "amount", asked="amount") == {"amount": amount}


@given(st.integers(0, 999_999))
def test_every_spoken_number_is_read_back(number: int) -> None:
    assert words(spoken_integer(number)) == (str(number),)


@given(st.dates(TODAY, TODAY + dt.timedelta(days=360)))
def test_every_spoken_date_is_read_back(date: dt.date) -> None:
    assert read(f"on {spoken_date(date)}".replace(f"{date:%A}, ", ""), "date") == {"date": date.isoformat()}


@given(st.times().map(lambda time: time.replace(second=0, microsecond=0)))
def test_every_spoken_time_is_read_back(time: dt.time) -> None:
    assert read(f"at {spoken_time(time)}", "time") == {"time": f"{time:%H:%M}"}


@pytest.mark.parametrize(
    ("text", "names", "asked", "expected"),
    [
        ("from savings to Bob", "account payee", None, {"account": "savings", "payee": "Bob"}),
        ("my current account", "account", None, {"account": "checking"}),
        ("chekking", "account", "account", {"account": "checking"}),
        ("to allice", "payee", None, {"payee": "Alice"}),
        ("to my brother", "payee", None, {"payee": "brother"}),
        ("Charlie Brown", "payee", "payee", {"payee": "Charlie Brown"}),
        ("I want to send money", "payee", None, {}),
        ("to transfer money", "payee", None, {}),
        ("not Alice, Bob", "payee", "payee", {"payee": "Bob"}),
        ("the savings one", "account amount", None, {"account": "savings"}),
        ("my last 5", "count", None, {"count": Decimal(5)}),
        ("weather in New York please", "place", None, {"place": "New York"}),
        ("weather for Paris tomorrow", "place date", None, {"place": "Paris", "date": "2026-11-22"}),
        ("it's London", "place", "place", {"place": "London"}),
        ("tomorrow at 3 pm", "date time", None, {"date": "2026-11-22", "time": "15:00"}),
        ("next monday", "date", None, {"date": "2026-11-23"}),
        ("on January 21st", "date", None, {"date": "2027-01-21"}),
        ("2026-12-01 at 09:30", "date time", None, {"date": "2026-12-01", "time": "09:30"}),
        ("the day after tomorrow", "date", None, {"date": "2026-11-23"}),
        ("half past four", "time", None, {"time": "16:30"}),
        ("quarter to nine in the morning", "time", None, {"time": "08:45"}),
        ("ten thirty am", "time", None, {"time": "10:30"}),
        ("noon", "time", None, {"time": "12:00"}),
        ("are you open on saturdays", "day", None, {"day": "saturday"}),
        ("at the weekend", "day", None, {"day": "weekend"}),
        ("on wensday", "day", None, {"day": "wednesday"}),
        ("February 30th", "date", None, {}),
    ],
)
def test_slots(text: str, names: str, asked: str | None, expected: dict[str, Value]) -> None:
    assert read(text, *names.split(), asked=asked) == expected


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", True),
        ("Yeah, go ahead.", True),
        ("that's right", True),
        ("sure why not", True),
        ("okay do it", True),
        ("no problem", True),
        ("nope", False),
        ("uh no wait", False),
        ("no thanks", False),
        ("that's not right", False),
        ("don't", False),
        ("no that's wrong", False),
        ("yes no wait", False),
        ("not sure", False),
        ("the blue one", None),
        ("", None),
        ("I know a place", None),
    ],
)
def test_yes_or_no(text: str, answer: bool | None) -> None:
    assert yes_or_no(text) is answer


@pytest.mark.parametrize(
    ("text", "only_cancel"),
    [
        ("never mind", True),
        ("cancel", True),
        ("oh forget it please", True),
        ("cancel my card", False),
        ("no", False),
    ],
)
def test_only_cancel(text: str, only_cancel: bool) -> None:
    assert is_only_cancel(text) is only_cancel


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("do not block my card", True),
        ("please don't send it", True),
        ("I don't want to transfer money", True),
        ("I don't know my balance", False),
        ("I do not have my card", False),
    ],
)
def test_refuses(text: str, refusal: bool) -> None:
    assert refuses(text) is refusal


@pytest.mark.parametrize(
    ("one", "other"), [("black", "block"), ("humane", "human"), ("ours", "hours"), ("transfur", "transfer"), ("stollen", "stolen")]
)  # fmt: skip
def test_what_sounds_alike(one: str, other: str) -> None:
    assert similarity(one, other) > 0.6


@pytest.mark.parametrize(
    ("one", "other"), [("weather", "balance"), ("joke", "block"), ("flight", "freeze"), ("to", "two")]
)
def test_what_does_not(one: str, other: str) -> None:
    assert similarity(one, other) == 0


@given(st.text("abcdehknorstuwy", max_size=8), st.text("abcdehknorstuwy", max_size=8))
def test_similarity_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1
    assert edit_distance(one, other) == edit_distance(other, one)
    assert phonetic_key(one) == phonetic_key(one.upper())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (spoken_money(Decimal("120.50")), "one hundred twenty dollars and fifty cents"),
        (spoken_money(Decimal("1")), "one dollar"),
        (spoken_money(Decimal("0.01"), "pounds"), "one penny"),
        (spoken_money(Decimal("-3")), "minus three dollars"),
        (spoken_integer(1_000_021), "one million twenty-one"),
        (spoken_ordinal(22), "twenty-second"),
        (spoken_ordinal(30), "thirtieth"),
        (spoken_time(dt.time(9, 5)), "nine oh five in the morning"),
        (spoken_time(dt.time(12)), "noon"),
        (spoken_list(["a", "b", "c"], "or"), "a, b, or c"),
        (spelled("TX-41"), "T, X, four, one"),
    ],
)
def test_speech(said: str, expected: str) -> None:
    assert said == expected
