"""The bank assistant: balance, payments, transfers, cards, opening hours.

`bank.py` is the bank, `tools.py` what the assistant can do with it, `script.toml` its conversation, `agent.py` the agent.
"""

from .bank import Bank, BankError
from .tools import BankTools

__all__ = ["Bank", "BankError", "BankTools"]
