"""Detectors of finished turns: what the user said so far to the probability that they are done.

`multilingual.MultilingualModel` has the name that agents expect; it leaves the decision to the voice activity detector.
"""
