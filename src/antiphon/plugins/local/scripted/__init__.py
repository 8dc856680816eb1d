"""The scripted language model: `local/scripted[:script]`.

Understands by example phrases and calls tools, with no weights, no key and no network. Script files are described in
docs/scripted-assistants.md.
"""

from .llm import ScriptedLLM
from .script import FollowUp, Intent, Replies, Script
from .script_file import ScriptError, find_script, load_script, parse_script
from .slots import Slot

__all__ = [
    "FollowUp",
    "Intent",
    "Replies",
    "Script",
    "ScriptError",
    "ScriptedLLM",
    "Slot",
    "find_script",
    "load_script",
    "parse_script",
]
