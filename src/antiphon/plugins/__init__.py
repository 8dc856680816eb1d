"""Vendors of models, one folder each: imported when a model of theirs is named, as in `"silero/vad"`.

`models/registry.py` says what a plugin offers. A vendor's package is an extra of this one, needed only by its plugin.
"""
