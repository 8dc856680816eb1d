"""Text into sentences, as it is written, and into words: what a voice speaks at a time.

A sentence is let go as soon as it is safe to do so. The first one counts most, because the caller waits for it in
silence: it does not even wait for the token after its full stop. For later ones there is audio left to play, so
they wait for the next token, which shows whether "example." goes on as "example.com".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

DEFAULT_MIN_LENGTH = 12
DEFAULT_MAX_LENGTH = 280

# Stops that never stand inside a number, a name or an address: CJK, Devanagari, Arabic, Urdu, Armenian, Ethiopic.
_CLEAR_STOPS = "。！？｡．।॥؟۔։።"
_CLOSERS = "\"'”’)\\]}»›」』）】》〉*_`"
_QUOTES = "\"”’'»"
_PAIRS = {"「": "」", "『": "』", "（": "）", "【": "】", "《": "》", "“": "”", "(": ")", "[": "]", "«": "»"}

_CANDIDATE = re.compile(
    rf"(?P<newline>\s*\n\s*)|(?P<clear>[{_CLEAR_STOPS}]+)[{_CLOSERS}]*|(?P<stop>[.!?…]+)[{_CLOSERS}]*"
)
_CLAUSE_END = re.compile(r"[,;:](?=\s)|\s[–—-]+(?=\s)|[，、；：,،—]")
_LAST_WORD = re.compile(r"\S*$")
_NEXT_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_WORD = re.compile(
    # one syllabic or ideographic character with its punctuation, or a run without spaces
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff][\u3001-\u3011\uff01-\uff0f\uff1a-\uff20]*"
    r"|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Never the last word of a sentence.
_TITLES = _words(
    "mr mrs ms mx dr prof rev hon fr sr sra srta gen col maj capt lt sgt gov sen hr mme mlle "
    "st mt ft vs cf e.g i.e eg ie approx ca viz al z.b d.h u.a bzw डॉ श्री"
)
# Abbreviations only in front of a number: "No. 5", but "No. I do not."
_BEFORE_NUMBER = _words(
    "no nos nr fig figs vol p pp art sec ch chap eq para tel ext apt rm jan feb mar apr jun jul aug sep sept oct nov dec"
)
# May or may not end a sentence; does if what follows starts one.
_MAYBE = _words("etc inc ltd co corp jr dept est min max hrs mins ave blvd rd ph.d m.d b.a m.a a.m p.m")
_STARTERS = _words(
    "a an and are as at because but by can could did do does for from have he her here his how however i i'd i'll i'm "
    "i've if in is it it's its let let's my no not now of ok okay on once or our please shall she should since so sorry "
    "thank thanks that that's the their then there these they this those to was we we'll we're well what what's when "
    "where which while who why will with would yes yet you you'll you're your"
)


class Splitter(Protocol):
    """What turns streamed text into sentences."""

    def push(self, text: str) -> list[str]: ...

    def flush(self) -> list[str]: ...


class SentenceSplitter:
    """Splits streamed text into sentences.

    Nothing is lost: the sentences one after the other are the text pushed, but for white space around them.
    """

    def __init__(self, *, min_length: int = DEFAULT_MIN_LENGTH, max_length: int = DEFAULT_MAX_LENGTH) -> None:
        """
        Args:
            min_length: a shorter sentence is joined with the next, because voices speak single words badly.
                In Latin characters; an ideograph counts as three.
            max_length: a longer sentence is cut at a comma, or a space, or anywhere.
        """
        if not 0 <= min_length < max_length:
            raise ValueError(f"min_length {min_length} must be less than max_length {max_length}")
        self._min_length = min_length
        self._max_length = max_length
        self._buffer = ""
        self._first = True

    def push(self, text: str) -> list[str]:
        """Add text; returns the sentences that it completes."""
        self._buffer += text
        sentences: list[str] = []
        while (end := self._find_end()) is not None:
            sentence = self._buffer[:end].strip()
            self._buffer = self._buffer[end:].lstrip()
            if sentence:
                sentences.append(sentence)
                self._first = False
        return sentences

    def flush(self) -> list[str]:
        """The text is at an end: returns what is left, however short."""
        rest = self._buffer.strip()
        self._buffer = ""
        self._first = True
        return [rest] if rest else []

    def _find_end(self) -> int | None:
        buffer = self._buffer
        for match in _CANDIDATE.finditer(buffer):
            if match.end() > self._max_length:
                break
            if _weight(buffer[: match.end()].strip()) < self._min_length:
                continue
            if not any(c.isalnum() for c in buffer[: match.end()]):
                continue
            if self._ends_at(match):
                return match.end()
        if len(buffer) > self._max_length:
            return _cut(buffer, self._min_length, self._max_length)
        return None

    def _ends_at(self, match: re.Match[str]) -> bool:
        buffer, end = self._buffer, match.end()
        if match["newline"]:
            return True
        at_end = end == len(buffer)
        if at_end and (not self._first or _is_open(buffer)):
            return False
        if match["clear"]:
            return True
        return _is_stop(buffer, match, at_end)


def _is_stop(buffer: str, match: re.Match[str], at_end: bool) -> bool:
    """Whether the Latin punctuation at `match` ends a sentence, as far as the text so far tells."""
    stop, end = match["stop"], match.end()
    word = _LAST_WORD.search(buffer[: match.start()])
    before = word.group() if word else ""
    follows = buffer[end : end + 1]
    following = buffer[end:].lstrip()
    in_address = "://" in before or "@" in before or before.startswith("www.")
    asks = "!" in stop or "?" in stop
    if follows and not follows.isspace():
        return asks and follows.isupper() and not in_address
    if asks:
        if in_address and at_end:
            return False
        # "Really?" he asked.
        quoted = any(quote in match.group() for quote in _QUOTES)
        return not quoted or not (following[:1].islower() or (not following and not at_end))
    if len(stop) > 1 or stop == "…":
        return bool(following) and not following[0].islower()
    return _is_full_stop(buffer[: match.start()], before.lstrip("\"'“‘«(["), following, at_end)


def _is_full_stop(head: str, word: str, following: str, at_end: bool) -> bool:
    """Whether a single "." after `word` ends a sentence."""
    name = word.lower()
    if name in _TITLES or not word:
        return False
    if name in _BEFORE_NUMBER:
        return bool(following) and not following[0].isdigit()
    if word[-1].isdigit():
        numbers_a_list = head.rsplit("\n", 1)[-1].strip() == word and len(word) <= 3
        return not at_end and not numbers_a_list
    if name in _MAYBE or "." in word or len(word) == 1:  # also U.S., initials, www.example
        if (
            "." in word and len(word.rsplit(".", 1)[-1]) > 2
        ):  # the end of an address: the stop is not part of it
            return not at_end
        next_word = _NEXT_WORD.match(following)
        if next_word is None or next_word.end() == len(following):  # it may grow: "A" into "Army"
            return False
        return _starts_sentence(next_word.group(), name)
    return True


def _starts_sentence(word: str, after: str) -> bool:
    if not word[0].isupper():
        return False
    return after == "etc" or word.lower().replace("’", "'") in _STARTERS


def _is_open(text: str) -> bool:
    """Whether a quotation or a bracket is open, so that its end may still follow the stop."""
    if text.count('"') % 2:
        return True
    return any(text.count(opening) > text.count(closing) for opening, closing in _PAIRS.items())


def _cut(buffer: str, min_length: int, max_length: int) -> int:
    """Where to cut a text that goes on too long without a stop."""
    head = buffer[: max_length + 1]
    at_least = min(max(min_length, max_length // 3), max_length - 1)
    clauses = [m.end() for m in _CLAUSE_END.finditer(head) if at_least <= m.end() <= max_length]
    if clauses:
        return clauses[-1]
    space = max(head.rfind(" "), head.rfind("\n"), head.rfind("\t"))
    return space if space >= at_least else max_length


def _weight(text: str) -> int:
    return len(text) + 2 * sum(c > "\u2e7f" for c in text)


class CallableSplitter:
    """A `Splitter` from a function that splits a whole text, whose last piece is taken as unfinished."""

    def __init__(self, split: Callable[[str], list[str]]) -> None:
        self._split = split
        self._buffer = ""

    def push(self, text: str) -> list[str]:
        self._buffer += text
        pieces = self._split(self._buffer)
        if len(pieces) < 2:
            return []
        # Taken from the buffer, because the function may have stripped the space that parts it from the next token.
        start = self._buffer.rfind(pieces[-1])
        self._buffer = self._buffer[start:] if start >= 0 else pieces[-1]
        return [piece.strip() for piece in pieces[:-1] if piece.strip()]

    def flush(self) -> list[str]:
        pieces, self._buffer = self._split(self._buffer), ""
        return [piece.strip() for piece in pieces if piece.strip()]


def split_sentences(text: str, *, min_length: int = 0, max_length: int = DEFAULT_MAX_LENGTH) -> list[str]:
    """The sentences of a whole text."""
    splitter = SentenceSplitter(min_length=min_length, max_length=max_length)
    return [*splitter.push(text), *splitter.flush()]


def split_words(text: str) -> list[str]:
    """The words of a text with the punctuation that belongs to them; each ideograph is a word."""
    return _WORD.findall(text)


_EMOJI = re.compile(
    r"(?:[\U0001f000-\U0001faff\u2600-\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u231a\u231b\u23e9-\u23fa]"
    r"[\ufe0e\ufe0f\u20e3]*\u200d?)+|\ufe0f\u20e3?|\u20e3"
)
_LINE_MARKS = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•◦▪][ \t]+(?:\[[ xX]\][ \t]+)?)+", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$|^[ \t]*\|?[ \t]*:?-{3,}[-:| \t]*$", re.MULTILINE)
_FENCE = re.compile(r"```[A-Za-z0-9+#-]*\n?")
_LINK = re.compile(r"!?\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_AUTO_LINK = re.compile(r"<((?:https?://|mailto:)?[^<>\s]+[.@][^<>\s]+)>")
_STRONG = re.compile(r"\*\*+|~~|(?<!\w)__+(?=\S)|(?<=\S)__+(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*])|(?<!\w)_(?=[^\s_])|(?<=[^\s_])_(?!\w)")
_TABLE_ROW = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$", re.MULTILINE)


def strip_markdown(text: str) -> str:
    """Leave only what a voice should say of a sentence in Markdown: no marks, link targets, code ticks or emoji.

    Marks need not be balanced, because a sentence may begin or end inside bold text. The result may be empty.
    """
    text = _FENCE.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _AUTO_LINK.sub(r"\1", text)
    text = _RULE.sub("", text)
    text = _TABLE_ROW.sub(lambda row: ", ".join(c.strip() for c in row[1].split("|") if c.strip()), text)
    text = _LINE_MARKS.sub("", text)
    text = _STRONG.sub("", text)
    text = _EMPHASIS.sub("", text)
    text = text.replace("`", "")
    text = _EMOJI.sub("", text)
    text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r" ?\n\s*", "\n", text).replace(" .", ".").strip()
