"""`python -m bench.turn_detector --model FILE`: the figures of a model file, beside simpler detectors."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from antiphon.plugins.turn_detector.detector import TranscriptDetector

from .baselines import LastWords, keyword_rule, majority
from .cases import Case, load
from .cost import cost, memory
from .metrics import FloatArray
from .readings import readings
from .report import figures, largest_misses, readings_table, structured_table, table

_AT_ONCE = 16


def main() -> None:
    """Print the figures."""
    options = _options()
    cases = load(options.data, options.data / options.file)
    found = {"majority": figures(cases, majority(cases)), "keyword rule": figures(cases, keyword_rule(cases))}
    if options.regression:
        fitted = LastWords(load(options.data, options.data / "train.jsonl.gz"))
        found["regression on the last words"] = figures(cases, fitted(cases))
    if options.model is not None:
        detector = TranscriptDetector(options.model)
        used = asyncio.run(memory(detector, cases))
        scores = asyncio.run(_scores(detector, cases))
        found["detector"] = figures(cases, scores)
    print(f"{options.file}: {len(cases)} cases\n\n{table(found)}")
    if options.model is None:
        return
    print("\nheld by domain: ", end="")
    print(", ".join(f"{name} {held:.1%}" for name, held in sorted(found["detector"].held_by_domain.items())))
    threshold = found["detector"].threshold
    print(f"\n{structured_table(cases, scores, threshold)}")
    read = readings()
    marks = {kind: asyncio.run(_scores(detector, group)) for kind, group in read.items()}
    print(f"\nat the threshold above\n{readings_table(read, marks, threshold)}")
    print(f"\nat 0.5\n{readings_table(read, marks, 0.5)}")
    print("\nlargest groups of cut turns taken for finished:")
    for count, group, example in largest_misses(cases, scores, threshold):
        print(f"{count:5}  … {group:24} {example!r}")
    print(f"\n{asyncio.run(cost(detector, cases))}\n{used}")


async def _scores(detector: TranscriptDetector, cases: Sequence[Case]) -> FloatArray:
    """The detector's scores, asked as sessions ask: several at once."""
    found = np.zeros(len(cases))
    for start in range(0, len(cases), _AT_ONCE):
        group = cases[start : start + _AT_ONCE]
        answers = await asyncio.gather(*(detector.score(case.context, case.text) for case in group))
        if None in answers:
            raise SystemExit("The detector has no opinion; the warning above says why.")
        found[start : start + len(group)] = answers
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.turn_detector", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/turns"), help="the folder with pairs.py"
    )
    parser.add_argument("--file", default="dev.jsonl.gz", help="the file of turns in that folder")
    parser.add_argument(
        "--model", type=Path, help="a model file; without one only the simpler detectors are measured"
    )
    parser.add_argument(
        "--no-regression", dest="regression", action="store_false", help="leave out what must be fitted"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
