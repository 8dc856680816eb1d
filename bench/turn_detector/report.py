"""A detector's figures on the reference cases, as a table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cases import Case
from .metrics import FloatArray, area_under_curve, calibration_error, held_at, share_held


@dataclass(frozen=True)
class Figures:
    """How well a detector does; shares are of cut turns, at the threshold that accepts 99.3 % of finished ones."""

    threshold: float
    held: float
    held_structured: float
    held_by_domain: dict[str, float]
    area: float
    calibration_error: float


def figures(cases: Sequence[Case], scores: FloatArray) -> Figures:
    """Measure scores of these cases."""
    labels = np.array([case.label for case in cases])
    structured = np.array([case.structured for case in cases])
    domains = np.array([case.domain for case in cases])
    point = held_at(scores, labels)
    by_domain = {
        str(name): share_held(scores[domains == name], labels[domains == name], point.threshold)
        for name in np.unique(domains)
    }
    return Figures(
        point.threshold,
        point.held,
        share_held(scores[structured], labels[structured], point.threshold),
        by_domain,
        area_under_curve(scores, labels),
        calibration_error(scores, labels),
    )


def table(found: dict[str, Figures]) -> str:
    """A Markdown table with a row for each detector."""
    lines = [
        "| detector | cut turns held | structured | AUC | calibration error | threshold |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f.held:.1%} | {f.held_structured:.1%} | {f.area:.4f} | {f.calibration_error:.3f} | {f.threshold:.3f} |"
        for name, f in found.items()
    ]
    return "\n".join(lines)


_KINDS = (
    ("time", re.compile(r"\b(am|pm|o'?clock|noon|morning|afternoon|evening)\b")),
    ("date", re.compile(r"\b(march|january|february|month|week)\b|\d(st|nd|rd|th)\b")),
    ("money", re.compile(r"\b(dollars?|bucks|rupees)\b")),
    (
        "address",
        re.compile(r"\b(street|st|avenue|ave|road|rd|drive|dr|lane|boulevard|blvd|way|plaza|suite|ste)\b"),
    ),
    (
        "count",
        re.compile(
            r"\b(tickets?|people|person|seats?|rooms?|beds?|bedrooms?|bath\w*|passengers?|days?|stars?|bags?)\b"
        ),
    ),
)


def structured_kind(text: str) -> str:
    """What the figures in the last six words of a text seem to be."""
    ending = " ".join(text.split()[-6:])
    return next((kind for kind, pattern in _KINDS if pattern.search(ending)), "other")


def structured_table(cases: Sequence[Case], scores: FloatArray, threshold: float) -> str:
    """A Markdown table of the cut turns with figures in their last six words, by what these are."""
    found: dict[str, list[bool]] = defaultdict(list)
    for case, score in zip(cases, scores, strict=True):
        if case.structured and case.label == 0:
            found[structured_kind(case.text)].append(bool(score < threshold))
    lines = ["| figures | cut turns | held |", "|---|---|---|"]
    lines += [
        f"| {kind} | {len(held)} | {np.mean(held):.1%} |"
        for kind, held in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    return "\n".join(lines)


def readings_table(readings: dict[str, list[Case]], scores: dict[str, FloatArray], threshold: float) -> str:
    """A Markdown table of what people read out: shares right at the threshold."""
    lines = ["| read out | pauses held | ends accepted |", "|---|---|---|"]
    for kind, cases in readings.items():
        over = [score >= threshold for case, score in zip(cases, scores[kind], strict=True) if case.label]
        held = [score < threshold for case, score in zip(cases, scores[kind], strict=True) if not case.label]
        lines.append(f"| {kind} | {sum(held)} of {len(held)} | {sum(over)} of {len(over)} |")
    return "\n".join(lines)


def largest_misses(
    cases: Sequence[Case], scores: FloatArray, threshold: float, count: int = 20
) -> list[tuple[int, str, str]]:
    """The cut turns that were taken for finished, grouped by their last two words: (how many, the words, an example)."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for case, score in zip(cases, scores, strict=True):
        if case.label == 0 and score >= threshold:
            group = " ".join(case.text.split()[-2:])
            counts[group] += 1
            examples[group].append(case.text)
    return [(number, group, examples[group][0]) for group, number in counts.most_common(count)]
