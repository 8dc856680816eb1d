"""Days, dates and times of day as people say them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from .phonetics import similarity
from .tokens import Token

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_SHORT_DAYS = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "thu": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6, "wensday": 2, "wednsday": 2,
}  # fmt: skip
_DAY_PHRASES = {
    "today": "today", "tonight": "today", "now": "today", "currently": "today", "tomorrow": "tomorrow",
    "weekend": "weekend", "weekends": "weekend", "weekdays": "weekdays", "weekday": "weekdays",
}  # fmt: skip
_DAY_PARTS = {
    "morning": (0, 9),
    "noon": (0, 12),
    "midday": (0, 12),
    "afternoon": (12, 15),
    "evening": (12, 18),
}

# Words for a day, as far as a sentence's meaning goes.
DAY_WORDS = (
    *WEEKDAYS,
    *(day + "s" for day in WEEKDAYS),
    *(d for d in _DAY_PHRASES if d not in ("now", "currently")),
)

Found = tuple[str, int, int]  # the value, the first token, the token after


def find_day(tokens: Sequence[Token]) -> Found | None:
    """A day as `"monday"` … `"sunday"`, `"today"`, `"tomorrow"`, `"weekend"` or `"weekdays"`."""
    for at, token in enumerate(tokens):
        if (
            token.text == "day"
            and at >= 2
            and [t.text for t in tokens[at - 2 : at]] in (["the", "week"], ["every", "week"])
        ):
            return "weekdays", at - 1, at + 1
        if token.text in _DAY_PHRASES:
            return _DAY_PHRASES[token.text], at, at + 1
        weekday = _weekday(token)
        if weekday is not None:
            return WEEKDAYS[weekday], at, at + 1
    return None


def find_date(tokens: Sequence[Token], today: dt.date) -> Found | None:
    """A date as `YYYY-MM-DD`; a weekday or a day without a year is the next one from today on."""
    for at, token in enumerate(tokens):
        if token.kind == "date":
            try:
                return dt.date(*map(int, token.text.split("-"))).isoformat(), at, at + 1
            except ValueError:
                continue
        if token.text == "today" or token.text == "tonight":
            return today.isoformat(), at, at + 1
        if token.text == "tomorrow":
            after = at >= 3 and [t.text for t in tokens[at - 3 : at]] == ["the", "day", "after"]
            return (today + dt.timedelta(days=1 + after)).isoformat(), at - 3 * after, at + 1
        if token.text in _MONTHS and (found := _month_day(tokens, at, today)) is not None:
            return found
        weekday = _weekday(token)
        if weekday is not None:
            ahead = (weekday - today.weekday()) % 7
            ahead = 7 if ahead == 0 else ahead
            return (today + dt.timedelta(days=ahead)).isoformat(), at, at + 1
    # A month with a day that it does not have is no date; "may" and "march" are verbs as well.
    if any(token.text in _MONTHS and token.text not in ("may", "march") for token in tokens):
        return None
    for at, token in enumerate(tokens):
        if token.kind == "ordinal" and token.value is not None and 1 <= token.value <= 31:
            date = _next_day_of_month(int(token.value), today)
            return (date.isoformat(), at, at + 1) if date else None
    return None


def find_time(tokens: Sequence[Token]) -> Found | None:
    """A time of day as `HH:MM`."""
    for at, token in enumerate(tokens):
        if token.kind == "time":
            hour, minute = map(int, token.text.split(":"))
            return _clock(hour, minute, tokens, at, at + 1)
        if (
            token.text in ("half", "quarter")
            and at + 2 < len(tokens)
            and tokens[at + 1].text in ("past", "to")
        ):
            return _past_or_to(tokens, at)
        if token.kind == "number" and token.value is not None and token.value == int(token.value):
            found = _spoken_clock(tokens, at)
            if found is not None:
                return found
        if token.text in ("noon", "midday"):
            return "12:00", at, at + 1
        if token.text == "midnight":
            return "00:00", at, at + 1
    for at, token in enumerate(tokens):
        if token.text in _DAY_PARTS and not _is_number(tokens, at - 2):
            base, hour = _DAY_PARTS[token.text]
            return f"{hour if hour >= 12 or not base else hour + base:02d}:00", at, at + 1
    return None


def _weekday(token: Token) -> int | None:
    if token.text in _SHORT_DAYS:
        return _SHORT_DAYS[token.text]
    base = token.text.removesuffix("s")
    if base in WEEKDAYS:
        return WEEKDAYS.index(base)
    if len(base) >= 6 and base.endswith("day") and base not in ("birthday", "holiday", "someday"):
        best = max(range(7), key=lambda day: similarity(base, WEEKDAYS[day]))
        return best if similarity(base, WEEKDAYS[best]) >= 0.75 else None
    return None


def _month_day(tokens: Sequence[Token], at: int, today: dt.date) -> Found | None:
    """`the 21st of december`, `december 21st`, `december 21 2027`."""
    month = _MONTHS.index(tokens[at].text) + 1
    first, after, day = at, at + 1, None
    for back in (1, 2):
        token = tokens[at - back] if at - back >= 0 else None
        if token is not None and token.value is not None and 1 <= token.value <= 31:
            day, first = int(token.value), at - back
            break
        if token is None or token.text != "of":
            break
    if day is None:
        skip = int(after < len(tokens) and tokens[after].text == "the")
        token = tokens[after + skip] if after + skip < len(tokens) else None
        if token is None or token.value is None or not 1 <= token.value <= 31:
            return None
        day, after = int(token.value), after + skip + 1
    year = None
    if after < len(tokens) and (value := tokens[after].value) is not None and 2000 <= value <= 2100:
        year, after = int(value), after + 1
    try:
        date = dt.date(year or today.year, month, day)
        if year is None and date < today:
            date = dt.date(today.year + 1, month, day)
    except ValueError:
        return None
    return date.isoformat(), first, after


def _next_day_of_month(day: int, today: dt.date) -> dt.date | None:
    year, month = today.year, today.month
    for _ in range(12):
        try:
            date: dt.date | None = dt.date(year, month, day)
        except ValueError:
            date = None
        if date is not None and date >= today:
            return date
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return None


def _spoken_clock(tokens: Sequence[Token], at: int) -> Found | None:
    """`3 pm`, `10 30 am`, `9 oclock`, `at 4`, `10 past 4`."""
    value = int(tokens[at].value or 0)
    following = [t.text for t in tokens[at + 1 : at + 3]]
    if following[:1] in (["past"], ["to"]) and _is_number(tokens, at + 2) and value < 60:
        hour = int(tokens[at + 2].value or 0)
        if hour <= 12:
            return _relative(hour, value if following[0] == "past" else -value, tokens, at, at + 3)
    if value > 24:
        return None
    if following[:1] in (["oh"], ["o"]) and _is_number(tokens, at + 2) and (tokens[at + 2].value or 0) < 10:
        return _clock(value, int(tokens[at + 2].value or 0), tokens, at, at + 3)
    if _is_number(tokens, at + 1) and 0 <= (minute := int(tokens[at + 1].value or 0)) < 60 and minute >= 10:
        return _clock(value, minute, tokens, at, at + 2)
    marked = following[:1] in (["am"], ["pm"], ["oclock"]) or following in (["a", "m"], ["p", "m"])
    marked = marked or following == ["in", "the"]
    if marked or (
        at > 0
        and tokens[at - 1].text in ("at", "around", "by")
        and following[:1] not in (["dollars"], ["percent"])
    ):
        return _clock(value, 0, tokens, at, at + 1)
    return None


def _past_or_to(tokens: Sequence[Token], at: int) -> Found | None:
    if not _is_number(tokens, at + 2):
        return None
    minutes = 30 if tokens[at].text == "half" else 15
    sign = 1 if tokens[at + 1].text == "past" else -1
    first = at - 1 if at > 0 and tokens[at - 1].text == "a" else at
    return _relative(int(tokens[at + 2].value or 0), sign * minutes, tokens, first, at + 3)


def _relative(hour: int, minutes: int, tokens: Sequence[Token], first: int, after: int) -> Found | None:
    total = hour * 60 + minutes
    return _clock(total // 60 % 24, total % 60, tokens, first, after)


def _clock(hour: int, minute: int, tokens: Sequence[Token], first: int, after: int) -> Found | None:
    """Apply `am`, `pm` and parts of the day; a bare 1 to 6 is in the afternoon."""
    rest = [t.text for t in tokens[after : after + 3]]
    if rest[:1] == ["oclock"]:
        after, rest = after + 1, [t.text for t in tokens[after + 1 : after + 4]]
    afternoon = rest[:1] == ["pm"] or rest[:2] == ["p", "m"] or rest[2:3] in (["afternoon"], ["evening"])
    morning = rest[:1] == ["am"] or rest[:2] == ["a", "m"] or rest[2:3] == ["morning"]
    if rest[:1] in (["am"], ["pm"]):
        after += 1
    elif rest[:2] in (["a", "m"], ["p", "m"]):
        after += 2
    elif rest[:2] == ["in", "the"] and (afternoon or morning):
        after += 3
    if hour < 12 and (afternoon or (not morning and 1 <= hour <= 6 and tokens[first].kind != "time")):
        hour += 12
    if morning and hour == 12:
        hour = 0
    return (f"{hour:02d}:{minute:02d}", first, after) if hour < 24 and minute < 60 else None


def _is_number(tokens: Sequence[Token], at: int) -> bool:
    return 0 <= at < len(tokens) and tokens[at].kind == "number"
