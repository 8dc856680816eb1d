"""Detectors of finished turns: what the user said so far to the probability that they are done.

`english.EnglishModel` reads English transcripts; `multilingual.MultilingualModel` is the same under the name that agents
for several languages expect. Without a usable model they leave the decision to the voice activity detector.
"""
