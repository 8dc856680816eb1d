"""Assistants that come with Antiphon, each in a folder of its own.

`load_assistant` gives one by name: what it is for, the models it runs on, and its agent.
"""

from .registry import AssistantDefinition, assistant_names, load_assistant

__all__ = ["AssistantDefinition", "assistant_names", "load_assistant"]
