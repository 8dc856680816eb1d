"""Whole conversations with the bank assistant in text: the scripted model and the real tools, without voice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from antiphon.models.chat_context import ChatMessage, ToolCall
from antiphon.models.errors import ToolError
from antiphon.models.tools import FunctionTool
from antiphon.plugins.local.scripted import ScriptedLLM
from support.bank_chat import Conversation, has

# Each line: what the caller says, and words that must be in the answer. `!word` must not be in it.
DIALOGUES: dict[str, list[tuple[str, str]]] = {
    "balance asks for the account": [
        ("what's my balance", "checking | savings"),
        ("savings please", "eight thousand four hundred dollars | savings"),
    ],
    "balance with the account in the question": [
        ("how much do I have in checking?", "one thousand two hundred fifty dollars and seventy-five cents")
    ],
    "and the other account?": [
        ("what's my checking balance", "one thousand two hundred fifty"),
        ("and my savings?", "eight thousand four hundred"),
    ],
    "a transfer in one breath": [
        ("send two hundred dollars to Alice", "two hundred dollars | Alice | checking"),
        (
            "yes please",
            "sent two hundred dollars to Alice | one thousand fifty dollars and seventy-five cents",
        ),
    ],
    "a transfer step by step": [
        ("I want to transfer some money", "how much ? what amount"),
        ("a hundred and twenty five fifty", "who"),
        ("my mum", "one hundred twenty-five dollars and fifty cents | your mum"),
        ("that's right", "your mum | one thousand one hundred twenty-five dollars and twenty-five cents"),
    ],
    "what the bank has no tool for": [
        ("what's my account number?", "person | ? | !balance"),
        ("yes", "call you back"),
    ],
    "the rent goes to the landlord": [
        ("settle my rent, it's eight hundred and fifty", "eight hundred fifty dollars | landlord"),
    ],
    "stop is said to the answer, not to a card": [
        ("what are my latest transactions", "latest payments"),
        ("Stop, please, when are you open on Friday?", "open on Fridays | !card"),
        ("Stop! What's my savings balance?", "eight thousand four hundred | !card"),
        ("okay stop, what time do you close on Thursday", "Thursday | !card"),
        ("wait, please, how much is in checking?", "one thousand two hundred fifty | !card"),
        ("no stop please and tell me when you are open on Friday", "open on Fridays | !card"),
        ("Stop. Please stop my debit card.", "debit card | ?"),
    ],
    "it is understood": [
        ("what's my savings balance", "eight thousand four hundred"),
        ("I see", "anything else | !goodbye"),
        ("no", "goodbye"),
    ],
    "asked to be quiet": [
        ("send fifty dollars to Bob", "fifty"),
        ("okay stop", "not sent ? nothing"),
        ("be quiet please", "!understand | !sorry"),
    ],
    "a please that comes late": [
        ("what's my balance", "checking | savings"),
        ("please", "checking | savings | !sorry"),
        ("send fifty dollars to Bob", "fifty"),
        ("please", "sent fifty dollars to Bob"),
    ],
    "the amount is corrected": [
        ("send fifty dollars to Bob", "fifty dollars | Bob"),
        ("no, I said sixty", "sixty dollars | Bob | !sent"),
        ("yes", "sent sixty dollars to Bob"),
    ],
    "made it something else": [
        ("pay Bob fifty", "fifty dollars"),
        ("make it sixty instead", "sixty dollars | Bob"),
        ("actually to Alice", "sixty dollars | Alice | !Bob"),
        ("go ahead", "sent sixty dollars to Alice"),
    ],
    "corrected within a sentence": [
        ("send fifty, sorry, sixty dollars to Alice", "sixty dollars | Alice | !fifty"),
    ],
    "from the other account": [
        ("send 75.50 to Alice from savings", "seventy-five dollars and fifty cents | Alice | savings"),
        ("yep", "eight thousand three hundred twenty-four dollars and fifty cents"),
    ],
    "a confirmation is refused": [
        ("send forty dollars to Alice", "forty"),
        ("no", "nothing has been sent ? not sent anything"),
        ("yes", "!sent forty"),
    ],
    "uh no wait, then another amount": [
        ("send forty dollars to Alice", "forty"),
        ("uh no wait", "not sent ? nothing has been sent"),
        ("make it thirty", "thirty dollars | Alice"),
        ("yes", "sent thirty dollars"),
    ],
    "yes with a correction is no yes": [
        ("send forty dollars to Alice", "forty"),
        ("yes but make it fifty", "fifty | !I sent"),
        ("yes", "sent fifty"),
    ],
    "called off while asked": [
        ("I'd like to make a transfer", "how much ? what amount"),
        ("never mind", "not sent ? nothing"),
    ],
    "subject changed while asked, and gone on with": [
        ("send fifty dollars please", "who"),
        ("what's in my savings account", "eight thousand four hundred | go on"),
        ("yes", "who"),
        ("to Alice", "fifty dollars | Alice"),
    ],
    "subject changed and the first left": [
        ("send fifty dollars to Bob", "shall ? right"),
        ("when are you open on Saturday", "ten in the morning | two in the afternoon | go on"),
        ("no", "not sent ? nothing"),
        ("yes", "!sent fifty"),
    ],
    "small talk within a task keeps it": [
        ("send fifty dollars to Bob", "Bob"),
        ("who are you?", "assistant | fifty dollars | Bob"),
        ("yes", "sent fifty dollars to Bob"),
    ],
    "a card is blocked and replaced": [
        ("I've lost my card", "debit | credit"),
        ("the debit one", "block ? blocking"),
        ("yes please", "four, eight, two, one | blocked | new one"),
        ("sure", "new debit card | Thursday, November twenty-sixth"),
    ],
    "a card is blocked, no new one": [
        ("please freeze my credit card", "credit"),
        ("yeah go ahead", "nine, zero, five, seven | new one"),
        ("no thanks", "help ? do for you"),
    ],
    "a card that is blocked already": [
        ("block my debit card", "debit"),
        ("yes", "blocked"),
        ("no", "help ? for you"),
        ("block my debit card", "debit"),
        ("yes", "already"),
    ],
    "do not block": [
        ("do not block my card", "not do that"),
        ("block my debit card", "debit"),
        ("don't", "stays as it is ? not blocked"),
    ],
    "opening hours, day by day": [
        ("when do you guys close on Saturday", "two in the afternoon"),
        ("and on Sunday?", "closed on Sundays"),
        ("what about tomorrow", "closed tomorrow"),
        ("are you open today", "open right now | two in the afternoon"),
        ("what are your opening hours", "Monday to Wednesday and Friday | five thirty | Thursday"),
    ],
    "too much money, then less": [
        ("send five thousand dollars to Alice", "five thousand"),
        ("yes", "not enough | one thousand two hundred fifty"),
        ("fifty then", "fifty dollars | Alice"),
        ("yes", "sent fifty"),
    ],
    "over the daily limit": [
        ("send three thousand to Alice from savings", "three thousand | savings"),
        ("yes", "limit | two thousand dollars"),
        ("two thousand", "two thousand | savings"),
        ("yes", "sent two thousand"),
        ("send ten dollars to Bob", "ten dollars"),
        ("yes", "limit"),
    ],
    "an unknown payee": [
        ("send fifty dollars to Charlie", "Charlie"),
        ("yes", "Charlie | Alice, Bob"),
        ("to Bob then", "fifty dollars | Bob"),
        ("yes", "sent fifty dollars to Bob"),
    ],
    "between own accounts": [
        ("move one hundred dollars from checking to savings", "one hundred | checking | savings"),
        ("yes", "one thousand one hundred fifty"),
        ("what's my savings balance", "eight thousand five hundred"),
    ],
    "say that again": [
        ("send fifty dollars to Bob", "fifty dollars | Bob"),
        ("say that again?", "fifty dollars | Bob"),
        ("yes", "sent fifty"),
    ],
    "twice not understood offers a person": [
        ("tell me a joke", "!person to talk"),
        ("book me a flight to Paris", "person"),
        ("yes please", "colleague will call you back"),
    ],
    "not understood, then fine": [
        ("the blue elephant walks slowly", "I can ? you can ask me"),
        ("what's my savings balance", "eight thousand"),
        ("play some music", "I can ? you can ask me | !talk to a person?"),
    ],
    "not a yes or a no": [
        ("send fifty dollars to Bob", "Bob"),
        ("the weather is nice", "yes or a no | fifty dollars"),
        ("yes", "sent fifty"),
    ],
    "hang on": [
        ("send fifty dollars to Bob", "Bob"),
        ("hang on a second", "time ? here"),
        ("ok go ahead", "sent fifty"),
    ],
    "recent payments": [
        ("what were my last two payments", "City Fuel | Starlight Video | !Corner Market"),
        ("and from savings?", "two hundred dollars from checking"),
    ],
    "thanks and goodbye": [
        ("thanks a lot", "welcome ? pleasure"),
        ("that's all, cheers", "goodbye"),
    ],
    "a yes with a question about it": [
        ("send fifty dollars to Bob", "fifty dollars | Bob"),
        ("yes, and how long will that take?", "sent fifty dollars to Bob"),
    ],
    "a question before the yes": [
        ("send fifty dollars to Bob", "fifty dollars | Bob"),
        ("how many days will it take", "right away | fifty dollars | Bob"),
        ("ok do it", "sent fifty dollars to Bob"),
    ],
    "an account of somebody else is not the caller's": [
        ("send fifty dollars to Diego's savings account", "fifty dollars | to Diego | !savings"),
        ("no, to the savings account of Alice", "fifty dollars | Alice | !savings"),
        ("never mind", "not sent ? nothing"),
        ("send fifty dollars to their savings account", "who"),
    ],
    "no more, and thanks in a sentence of its own": [
        ("what's my savings balance", "else"),
        ("No, that's all. Thank you!", "goodbye"),
    ],
    "a question about an account is no account to send to or from": [
        ("I want to pay Bob a hundred", "one hundred dollars | Bob"),
        ("hang on, what's in checking?", "one thousand two hundred fifty | go on"),
        ("yes", "one hundred dollars | Bob"),
        ("no wait, make that eighty", "eighty dollars | Bob"),
        ("how much?", "eighty dollars | Bob"),
        ("ok send it", "sent eighty dollars to Bob"),
    ],
    "nobody is no name": [
        ("send a hundred dollars", "who"),
        ("to nobody, forget it", "not sent ? nothing has been sent"),
    ],
    "no as the first word is no goodbye": [("no", "else | !goodbye")],
    "no to anything else": [
        ("what's my savings balance", "else"),
        ("no that's fine", "goodbye"),
    ],
    "recogniser mistakes all along": [
        ("transfer to alice too hundred dollars", "two hundred dollars | Alice"),
        ("yes police", "sent two hundred"),
        ("black my debt card", "debit"),
        ("yeah", "blocked"),
        ("know", "!on its way | do for you ? help"),
    ],
    "filler only": [
        ("send fifty dollars to Bob", "Bob"),
        ("um", "fifty dollars | Bob"),
    ],
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(name: str) -> None:
    conversation = Conversation()
    assert "bank" in conversation.greets()
    for said, expected in DIALOGUES[name]:
        has(conversation.says(said), expected)


def test_a_transfer_moves_the_money_once() -> None:
    conversation = Conversation()
    conversation.says("send two hundred dollars to Alice")
    assert conversation.bank.accounts["checking"] == Decimal("1250.75")
    conversation.says("yes")
    conversation.says("yes")
    assert conversation.bank.accounts["checking"] == Decimal("1050.75")
    assert [name for name, _ in conversation.called] == ["transfer_money"]
    assert conversation.called[0][1] == {"amount": 200, "payee": "Alice", "account": "checking"}


def test_yes_before_the_amount_was_heard_asks_again() -> None:
    conversation = Conversation()
    conversation.says("send two hundred dollars to Alice")
    conversation.interrupted_after(2)
    has(conversation.says("yes"), "two hundred dollars | Alice")
    assert not conversation.called
    has(conversation.says("yes"), "sent two hundred")


def test_yes_into_the_end_of_the_question_counts() -> None:
    conversation = Conversation()
    question = conversation.says("send two hundred dollars to Alice")
    conversation.interrupted_after(len(question.split()) - 2)
    has(conversation.says("yes"), "sent two hundred")


@pytest.mark.parametrize(("heard", "ends"), [(10, False), (-1, True)], ids=["early", "over the question"])
def test_a_no_ends_the_call_only_if_anything_else_was_asked(heard: int, ends: bool) -> None:
    conversation = Conversation()
    reply = conversation.says("what are my latest transactions?")
    conversation.interrupted_after(heard % len(reply.split()))
    conversation.says("no")
    assert (conversation.session.closed_because is not None) is ends


@pytest.mark.parametrize("said", ["wait", "okay, stop", "hold on"])
def test_a_result_that_was_talked_over_is_not_told_to_who_wants_silence(said: str) -> None:
    conversation = Conversation()
    conversation.says("what are my latest transactions?")
    conversation.interrupted_after(5)
    has(conversation.says(said), "!latest payments")


def test_please_before_the_question_was_heard_asks_again() -> None:
    conversation = Conversation()
    conversation.says("block my credit card")
    conversation.interrupted_after(0)
    has(conversation.says("please"), "credit card | ? | !yes or a no")
    assert not conversation.called


def test_yes_to_a_question_never_heard_asks_again() -> None:
    conversation = Conversation()
    conversation.says("send two hundred dollars to Alice")
    conversation.interrupted_after(0)
    has(conversation.says("yes"), "two hundred dollars")
    assert not conversation.called


def test_a_question_cut_short_can_be_answered() -> None:
    conversation = Conversation()
    conversation.says("I want to transfer money")
    conversation.interrupted_after(2)
    has(conversation.says("fifty dollars"), "who")


def test_a_new_request_over_a_reply() -> None:
    conversation = Conversation()
    conversation.says("what are your opening hours")
    conversation.interrupted_after(3)
    has(conversation.says("what's my savings balance"), "eight thousand four hundred")


def test_two_turns_in_a_row_are_one_request() -> None:
    conversation = Conversation()
    conversation.drop_reply("I'd like to transfer")
    has(conversation.says("two hundred dollars to Alice"), "two hundred dollars | Alice")


def test_a_dropped_call_did_not_happen() -> None:
    conversation = Conversation()
    conversation.says("send fifty dollars to Bob")
    conversation.drop_reply("yes")  # interrupted before the tool ran
    has(conversation.says("make it sixty"), "sixty dollars | Bob | !sent")
    has(conversation.says("yes"), "sent sixty")
    assert conversation.bank.accounts["checking"] == Decimal("1190.75")


def test_a_request_whose_call_was_dropped_can_be_completed() -> None:
    conversation = Conversation()
    conversation.drop_reply("what's my checking balance")
    has(conversation.says("I mean savings"), "eight thousand four hundred")


def test_the_beginning_of_the_log_may_be_gone() -> None:
    conversation = Conversation()
    conversation.says("send fifty dollars to my mum")
    conversation.log.truncate(1)  # only the question is left
    has(conversation.says("yes"), "sent fifty dollars to your mum")


def test_a_result_between_two_turns_is_told() -> None:
    """The caller spoke again while the tool ran: the result comes after their words."""
    conversation = Conversation()
    conversation.drop_reply("what's my savings balance")
    conversation.drop_reply("hello?")
    call = ToolCall("call_1", "get_balance", '{"account": "savings"}')
    conversation.log.append(ChatMessage(role="assistant", tool_calls=[call]))
    result = '{"outcome": "ok", "account": "savings", "balance": "12.00"}'
    conversation.log.append(ChatMessage(role="tool", content=result, tool_call_id="call_1"))
    has(conversation.greets(), "twelve dollars")


@pytest.mark.parametrize("heard", [0, 2])
def test_a_result_that_a_second_yes_talked_over_is_told_again(heard: int) -> None:
    conversation = Conversation()
    conversation.says("block my debit card")
    conversation.says("yes")
    conversation.interrupted_after(heard)
    has(conversation.says("go ahead"), "four, eight, two, one | is blocked | new one")
    has(conversation.says("sure"), "new debit card")
    assert [name for name, _ in conversation.called] == ["block_card", "order_replacement_card"]


def test_goodbye_ends_the_session_after_a_farewell() -> None:
    conversation = Conversation()
    has(conversation.says("no that's all, bye"), "goodbye")
    assert conversation.session.closed_because == "agent_hangup"


def test_a_person_is_asked_for_honestly() -> None:
    conversation = Conversation()
    has(conversation.says("let me talk to a real person"), "cannot put you through | call you back")
    assert conversation.userdata == {"human_requested": True}


def test_a_tool_that_fails_is_told_politely() -> None:
    async def get_balance(arguments: dict[str, Any], context: Any) -> str:
        raise ToolError("The accounts are being updated.")

    schema = {"type": "object", "properties": {"account": {"type": "string"}}}
    conversation = Conversation(tools=[FunctionTool.from_schema("get_balance", "", schema, get_balance)])
    has(conversation.says("what's my savings balance"), "sorry | The accounts are being updated.")


def test_an_internal_failure_is_not_read_out() -> None:
    async def get_balance(arguments: dict[str, Any], context: Any) -> str:
        raise ToolError("psycopg.OperationalError: connection refused")

    schema = {"type": "object", "properties": {"account": {"type": "string"}}}
    conversation = Conversation(tools=[FunctionTool.from_schema("get_balance", "", schema, get_balance)])
    has(conversation.says("what's my savings balance"), "sorry | !psycopg")


def test_what_is_not_offered_is_not_called() -> None:
    conversation = Conversation()
    conversation.tools = [tool for tool in conversation.tools if tool.name != "transfer_money"]
    has(conversation.says("send fifty dollars to Bob"), "cannot do that")


def test_a_new_model_goes_on_where_another_stopped() -> None:
    conversation = Conversation()
    conversation.says("send fifty dollars to Bob")
    conversation.llm = ScriptedLLM.from_name("bank")
    has(conversation.says("yes"), "sent fifty dollars to Bob")


def test_two_callers_share_nothing() -> None:
    first, second = Conversation(), Conversation()
    first.says("send fifty dollars to Bob")
    first.says("yes")
    has(second.says("yes"), "!sent")
    has(second.says("what's my checking balance"), "one thousand two hundred fifty")
