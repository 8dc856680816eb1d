"""The bank assistant as an agent: its tools, and a greeting when it takes the call."""

from __future__ import annotations

from ...models.tools import find_function_tools
from ...voice import Agent
from .bank import Bank
from .tools import BankTools

INSTRUCTIONS = """\
You are the voice assistant of a bank. Callers ask for their balance, their latest payments, opening hours, a transfer,
or to block a card. Use the tools for every fact. Before a transfer and before blocking a card, read back the details and
ask for a yes. Speak briefly, in plain sentences without lists or symbols; say amounts in words. When the caller asks for
a person, use transfer_to_human. When they say goodbye, say goodbye and use end_conversation.
"""

GREETING = (
    "Greet the caller in the name of the bank, say in one sentence what you can do, and ask how you can help."
)


class BankAgent(Agent):
    """A bank's assistant over an in-memory bank.

    Args:
        bank: whose data; a fresh one for each agent by default, so that nothing passes from one caller to the next.
    """

    def __init__(self, bank: Bank | None = None) -> None:
        self.bank = bank or Bank()
        super().__init__(instructions=INSTRUCTIONS, tools=find_function_tools(BankTools(self.bank)))

    async def on_enter(self) -> None:
        await self.session.generate_reply(instructions=GREETING)
