"""Vendors of models, one folder each: imported when a model of theirs is named, as in `"silero/vad"`.

`models/registry.py` says what a plugin offers. A vendor's package is an extra of this one, needed only by its plugin.
"""

from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The plugin of a vendor, installed packages' included; for one that is missing, an error that says what to do."""
        if name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ..models.registry import load_plugin

        return load_plugin(name)
