"""Detectors of finished turns: what the user said so far to the probability that they are done.

`english.EnglishModel` reads English transcripts where a model file is installed; `multilingual.MultilingualModel` has the
name that agents expect. Without a model both leave the decision to the voice activity detector.
"""
