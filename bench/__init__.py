"""Measurements: what Antiphon costs and how fast it answers, beside its peers where they can be had.

`python -m bench` runs them, prints a table and JSON, and keeps the JSON in `bench/results/`.
"""
