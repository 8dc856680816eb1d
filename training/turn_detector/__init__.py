"""Trains the end-of-turn detector that `antiphon.plugins.turn_detector` runs: `python -m training.turn_detector`."""
