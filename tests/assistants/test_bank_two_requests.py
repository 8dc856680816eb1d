"""Two requests in one breath get two answers, and one request is not taken apart."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from antiphon.plugins.local.scripted import find_script, load_script
from antiphon.plugins.local.scripted.dialogue import Dialogue
from antiphon.plugins.local.scripted.requests import split_requests
from support.bank_chat import Conversation, has

SCRIPT = load_script(find_script("bank"))
DIALOGUE = Dialogue(SCRIPT)
PARAPHRASES = tomllib.loads(Path(__file__).with_name("bank_paraphrases.toml").read_text(encoding="utf-8"))


def parts(text: str) -> tuple[str, str] | None:
    return split_requests(SCRIPT, text, DIALOGUE.read)


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("What's my balance and when are you open?", "when are you open?"),
        ("What is my savings balance, and are you open on Sunday?", "are you open on Sunday?"),
        ("Tell me my checking balance. Also, what time do you open?", "what time do you open?"),
        ("Send fifty dollars to Alice and then tell me my balance", "tell me my balance"),
        ("My card was stolen and can I talk to a person please", "can I talk to a person please"),
        ("are you open on Saturday and Sunday", "Sunday"),
        ("how much is in checking and in savings", "in savings"),
        ("Pay Bob twenty dollars and pay Alice thirty dollars", "pay Alice thirty dollars"),
        ("What's in checking and what's in savings?", "what's in savings?"),
        ("What's my savings balance in when do you close on Friday?", "when do you close on Friday?"),
        ("what is my checking balance when are you open on Saturday", "when are you open on Saturday"),
        ("Send 20 dollars to Bob and how long will it take", "how long will it take"),
    ],
)
def test_two_requests(text: str, second: str) -> None:
    found = parts(text)
    assert found is not None
    assert found[1] == second


@pytest.mark.parametrize(
    "text",
    [
        "transfer fifty dollars from savings and send it to Alice",
        "send fifty dollars to Alice and Bob",
        "move fifty dollars from savings and put it into checking",
        "my card was stolen and someone is using it",
        "send one hundred and fifty dollars to Alice",
        "what time do you open and when do you close",
        "I lost my card, please block it",
        "hello, what's my balance",
        "what's my balance and " * 20 + "when are you open",
        "what's my balance, thanks and goodbye",
        "look at savings and tell me what is there",
        "send money to my landlord, and make it fifty",
        "don't block my card and don't send any money",
    ],
)
def test_one_request(text: str) -> None:
    assert parts(text) is None


def test_no_sentence_of_the_fixture_is_taken_apart() -> None:
    sentences = [text for part in PARAPHRASES.values() for texts in part.values() for text in texts]
    assert [text for text in sentences if parts(text)] == []


DIALOGUES: dict[str, list[tuple[str, str]]] = {
    "both at once": [
        ("what's my savings balance and when are you open on Saturday?", "eight thousand four hundred | ten in the morning"),
        ("thanks", "welcome"),
    ],
    "the second after what the first needs": [
        ("what's my balance and when are you open on Saturday?", "checking | savings | !ten in the morning"),
        ("savings please", "eight thousand four hundred | ten in the morning"),
    ],
    "the second after a confirmation": [
        ("send fifty dollars to Alice from savings and tell me my balance", "fifty dollars | Alice | !eight thousand"),
        ("yes", "sent fifty dollars to Alice | savings account is eight thousand three hundred fifty ? three hundred fifty dollars in your savings"),
    ],
    "two transfers are confirmed one by one": [
        ("pay Bob twenty dollars and pay Alice thirty dollars", "twenty dollars | Bob | !Alice"),
        ("yes", "sent twenty dollars to Bob | thirty dollars | Alice | !Anything else"),
        ("yes", "sent thirty dollars to Alice"),
    ],
    "called off with the first": [
        ("send fifty dollars to Alice and tell me my savings balance", "fifty dollars"),
        ("never mind", "not sent ? nothing | !eight thousand"),
        ("yes", "!eight thousand"),
    ],
    "not after something else": [
        ("what's my balance and when are you open on Saturday?", "checking | savings"),
        ("block my debit card", "debit"),
        ("yes", "blocked | !ten in the morning"),
    ],
    "an answer and a request": [
        ("what's my balance", "checking | savings"),
        ("savings, and when are you open on Saturday?", "eight thousand four hundred | ten in the morning"),
    ],
    "a yes and a request": [
        ("send fifty dollars to Alice", "fifty"),
        ("yes please, and how long will it take?", "sent fifty dollars to Alice | right away"),
    ],
    "one thing about two": [
        ("Are you open to morrow and on Saturday?", "closed tomorrow | Saturdays from ten"),
        ("are you open on Saturday and Sunday", "Saturdays from ten | closed on Sundays"),
        ("how much is in checking and in savings", "one thousand two hundred fifty | eight thousand four hundred"),
    ],
    "both": [
        ("what's my balance", "checking | savings"),
        ("both please", "one thousand two hundred fifty | eight thousand four hundred"),
        ("block my card", "debit | credit"),
        ("both", "debit | credit | ?"),
    ],
    "a blocked card and a new one": [
        ("block my debit card and order a new one", "debit | !credit"),
        ("yes", "four, eight, two, one | new debit card | Thursday"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(name: str) -> None:
    conversation = Conversation()
    conversation.greets()
    for said, expected in DIALOGUES[name]:
        has(conversation.says(said), expected)


def test_the_question_of_the_second_counts_when_its_values_were_heard() -> None:
    conversation = Conversation()
    reply = conversation.says("tell me my savings balance and pay Bob twenty dollars")
    has(reply, "eight thousand four hundred | twenty dollars | Bob")
    conversation.interrupted_after(len(reply.split()) // 2)
    has(conversation.says("yes"), "twenty dollars | Bob | !sent")
    has(conversation.says("yes"), "sent twenty dollars to Bob")
    assert conversation.bank.accounts["checking"] == Decimal("1230.75")
