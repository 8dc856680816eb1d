"""What a model is called in errors and metrics when it does not say so itself."""

from __future__ import annotations


def label_of(model: object) -> str:
    """The package and class of a model, as in `"deepgram/STT"`; the class alone where it is in no package, as in a script."""
    kind = type(model)
    package = kind.__module__.split(".")[:-1]
    return f"{package[-1]}/{kind.__name__}" if package else kind.__name__
