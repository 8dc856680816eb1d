"""Sentences from streamed text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.models.tokenize import (
    CallableSplitter,
    SentenceSplitter,
    split_sentences,
    split_words,
    strip_markdown,
)

WHOLE_TEXTS = [
    ("two", "It is open. Come in.", ["It is open.", "Come in."]),
    ("title", "Ask Dr. Smith or Mrs. Jones. They know.", ["Ask Dr. Smith or Mrs. Jones.", "They know."]),
    (
        "for example",
        "Pay by card, e.g. Visa, i.e. not cash. Fine?",
        ["Pay by card, e.g. Visa, i.e. not cash.", "Fine?"],
    ),
    ("acronym inside", "The U.S. Army is here. Really.", ["The U.S. Army is here.", "Really."]),
    ("acronym at the end", "He left the U.S. He came back.", ["He left the U.S.", "He came back."]),
    (
        "time",
        "We open at 9 a.m. and close at 5 p.m. Please come.",
        ["We open at 9 a.m. and close at 5 p.m.", "Please come."],
    ),
    ("number sign", "Take bus No. 5 now. Go.", ["Take bus No. 5 now.", "Go."]),
    ("a plain no", "I said no. I did.", ["I said no.", "I did."]),
    ("decimal", "Pi is 3.14 or so. Yes.", ["Pi is 3.14 or so.", "Yes."]),
    ("number at the end", "You have 3. Choose one.", ["You have 3.", "Choose one."]),
    ("money", "It costs $1,234.50 now. OK.", ["It costs $1,234.50 now.", "OK."]),
    ("address", "Write to a.b@example.com. We answer.", ["Write to a.b@example.com.", "We answer."]),
    ("url", "See https://example.com/a?b=1. It helps.", ["See https://example.com/a?b=1.", "It helps."]),
    ("site", "Visit www.example.com. Bye.", ["Visit www.example.com.", "Bye."]),
    ("initials", "J. R. Smith called. Call back.", ["J. R. Smith called.", "Call back."]),
    ("ellipsis goes on", "Well... let me look. Done.", ["Well... let me look.", "Done."]),
    ("ellipsis ends", "I am not sure… Let me look.", ["I am not sure…", "Let me look."]),
    ("both marks", "What?! No way!", ["What?!", "No way!"]),
    ("quotation", 'She said "stop." Then she left.', ['She said "stop."', "Then she left."]),
    ("quoted question", '"Really?" he asked. Yes.', ['"Really?" he asked.', "Yes."]),
    ("brackets", "It works (mostly.) Try it.", ["It works (mostly.)", "Try it."]),
    ("bold", "**It is done.** Next one.", ["**It is done.**", "Next one."]),
    ("newlines", "First line\nSecond line\n\nThird", ["First line", "Second line", "Third"]),
    ("list", "1. Milk\n2. Eggs\n10. Bread", ["1. Milk", "2. Eggs", "10. Bread"]),
    ("etc", "Cards, loans, etc. Anything else?", ["Cards, loans, etc.", "Anything else?"]),
    ("company", "Acme Inc. makes it. Good.", ["Acme Inc. makes it.", "Good."]),
    ("no space", "Great!Now go.", ["Great!", "Now go."]),
    ("chinese", "你好。我来查一下！好吗？", ["你好。", "我来查一下！", "好吗？"]),
    ("chinese quotation", "他说「好。」然后走了。", ["他说「好。」", "然后走了。"]),
    ("hindi", "नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
    ("arabic", "كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
    ("lower case", "it is done. so what.", ["it is done.", "so what."]),
    ("empty", " \n ", []),
]


@pytest.mark.parametrize(
    ("text", "sentences"), [row[1:] for row in WHOLE_TEXTS], ids=[r[0] for r in WHOLE_TEXTS]
)
def test_sentences_of_a_whole_text(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    ("text", "sentences"), [row[1:] for row in WHOLE_TEXTS], ids=[r[0] for r in WHOLE_TEXTS]
)
def test_sentences_are_the_same_when_the_text_comes_in_tokens(text: str, sentences: list[str]) -> None:
    splitter = SentenceSplitter(min_length=0)
    tokens = re.findall(r"\s*[\w'$,]+|\s*\S", text)
    assert "".join(tokens) == text.rstrip()
    splitter.push("Now. ")  # the first sentence is let go earlier
    assert [s for token in tokens for s in splitter.push(token)] + splitter.flush() == sentences


EARLY = [
    # pushed so far, what is let go with the last piece
    ("a plain word ends it", ["I can do", " that."], ["I can do that."]),
    ("a question ends it", ["What is your name", "?"], ["What is your name?"]),
    ("a clear stop ends it", ["我来帮您查一下", "。"], ["我来帮您查一下。"]),
    ("a decimal may follow", ["The answer is 3", "."], []),
    ("the decimal did follow", ["The answer is 3", ".", "14"], []),
    ("a number was the end", ["The answer is 3", ".", " Now"], ["The answer is 3."]),
    ("an abbreviation", ["Please ask for Dr", "."], []),
    ("an abbreviation before a number", ["The answer is no", "."], []),
    ("an initial", ["It was written by J", "."], []),
    ("an address may go on", ["Open https://x.com/a", "?"], []),
    ("more dots may follow", ["Let me think", "..."], []),
    ("the quotation is open", ['He said "stop it', "."], []),
    ("the quotation is closed", ['He said "stop it', '."'], ['He said "stop it."']),
    ("too short alone", ["Hi", "."], []),
    ("short, then more", ["Hi", ".", " How are you?"], ["Hi. How are you?"]),
    ("no stop", ["I can do", " that"], []),
]


@pytest.mark.parametrize(("pieces", "expected"), [row[1:] for row in EARLY], ids=[row[0] for row in EARLY])
def test_the_first_sentence_leaves_as_early_as_is_safe(pieces: list[str], expected: list[str]) -> None:
    splitter = SentenceSplitter()
    for piece in pieces[:-1]:
        assert splitter.push(piece) == []
    assert splitter.push(pieces[-1]) == expected


def test_later_sentences_wait_for_the_token_after_the_stop() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("Please have a look.") == ["Please have a look."]
    assert splitter.push(" Our page is example.") == []
    assert splitter.push("com today. ") == ["Our page is example.com today."]


def test_flush_lets_go_what_is_left_and_starts_anew() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("Bye") == []
    assert splitter.flush() == ["Bye"]
    assert splitter.flush() == []
    assert splitter.push("And here we are.") == ["And here we are."]


def test_long_sentences_are_cut_at_a_clause_then_a_space_then_anywhere() -> None:
    clauses = "this clause goes on, " * 20
    first = SentenceSplitter(max_length=100).push(clauses)[0]
    assert first.endswith(",")
    assert 33 <= len(first) <= 100
    words = SentenceSplitter(max_length=100).push("word " * 50)
    assert all(piece.split() == ["word"] * len(piece.split()) for piece in words)
    assert SentenceSplitter(max_length=100).push("x" * 250) == ["x" * 100, "x" * 100]


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="min_length 9"):
        SentenceSplitter(min_length=9, max_length=9)


PIECES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.text(alphabet="aB1 .!?\n\"'(),…。」「-:@/", max_size=20),
        st.sampled_from(
            ["Dr.", " e.g. ", "3.", "14", "U.S.", "http://a.b?c", "...", "你好。", " No. ", "\n\n", "**"]
        ),
    ),
    max_size=25,
)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(PIECES, st.integers(0, 30), st.integers(31, 80))
@example(["x" * 31], 30, 31)
def test_nothing_is_lost_added_or_moved(pieces: list[str], min_length: int, max_length: int) -> None:
    splitter = SentenceSplitter(min_length=min_length, max_length=max_length)
    sentences = [sentence for piece in pieces for sentence in splitter.push(piece)] + splitter.flush()
    assert squeezed("".join(sentences)) == squeezed("".join(pieces))
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
    assert all(len(sentence) <= max_length for sentence in sentences)


@given(PIECES)
def test_sentences_but_the_last_are_speakable_and_not_too_short(pieces: list[str]) -> None:
    splitter = SentenceSplitter(min_length=5, max_length=500)
    for piece in pieces:
        for sentence in splitter.push(piece):
            assert len(sentence) + 2 * sum(c > "\u2e7f" for c in sentence) >= 5
            assert any(c.isalnum() for c in sentence)


def test_a_function_can_split_too() -> None:
    splitter = CallableSplitter(lambda text: [piece for piece in re.split(r"(?<=\.)\s", text) if piece])
    assert splitter.push("One. Two") == ["One."]
    assert splitter.push(" more. Three") == ["Two more."]
    assert splitter.flush() == ["Three"]
    stripping = CallableSplitter(lambda text: [s.strip() for s in re.findall(r"[^.]+\.?", text)])
    assert stripping.push("One. Two ") == ["One."]
    assert stripping.push("words.") + stripping.flush() == ["Two words."]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, big  world!", ["Hello,", "big", "world!"]),
        ("你好，世界", ["你", "好，", "世", "界"]),
        ("e-mail a.b@c.de now", ["e-mail", "a.b@c.de", "now"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text(max_size=60))
def test_words_keep_every_character(text: str) -> None:
    assert "".join(split_words(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("markdown", "spoken"),
    [
        ("**Bold** and *slanted* and _under_", "Bold and slanted and under"),
        ("**Begins bold. ", "Begins bold."),
        ("and ends bold.**", "and ends bold."),
        ("# Heading", "Heading"),
        ("- item\n- [x] done\n* star", "item\ndone\nstar"),
        ("> quoted", "quoted"),
        ("Use `pip install` now", "Use pip install now"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("See [our page](https://example.com/a_(b)).", "See our page."),
        ("![a cat](cat.png)", "a cat"),
        ("<https://example.com>", "https://example.com"),
        ("~~gone~~", "gone"),
        ("a snake_case_name stays", "a snake_case_name stays"),
        ("__init__ is bold", "init is bold"),
        ("2 * 3 and 2*3 stay", "2 * 3 and 2*3 stay"),
        ("1. First", "1. First"),
        ("---", ""),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b\n1, 2"),
        ("Great! 🎉👍🏽 👨‍👩‍👧 ❤️ 🇩🇪", "Great!"),
        ("-5 degrees - cold", "-5 degrees - cold"),
        ("नमस्‍ते", "नमस्‍ते"),
        ("Done 👍.", "Done."),
    ],
)
def test_markdown_is_not_spoken(markdown: str, spoken: str) -> None:
    assert strip_markdown(markdown) == spoken
