"""`python -m bench.turn_detector.speech`: what a turn detector is worth on spoken turns with a pause in the middle.

The turns, which no detector was trained on, are spoken by flite and espeak-ng, and heard once, in real time, by the real
pipeline. What it heard is then decided under many settings. A few turns are heard again with the detector in the session,
to show that both ways agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.models.errors import ConfigurationError
from antiphon.plugins import smart_turn
from antiphon.plugins.smart_turn.features import log_mel
from antiphon.plugins.smart_turn.speech import spoken_part
from antiphon.plugins.turn_detector import network
from antiphon.plugins.turn_detector.english import EnglishModel
from antiphon.turns import TurnOptions
from antiphon.voice.turn_detection import usable_model

from .cases import load
from .listening import Heard, listen
from .replay import Judge, Outcome, Question, outcome, replay
from .spoken import speak_turns

READING, HEARING = 0.005, 0.06  # seconds that the detectors need for an answer
ALONE = np.arange(0.2, 3.05, 0.05)  # delays of silence alone that are compared with
_RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """A setting's figures over all turns.

    Attributes:
        name: the setting.
        cut_offs: share of the turns that were taken for finished in their pause.
        delay, p50, p95: seconds from the end of a turn to the decision: mean and percentiles.
        missed: turns whose end was never decided, as nothing of their last part was recognised.
        alone: the mean delay of silence alone where it cuts off as many turns; None beyond what was tried.
        gain: that less `delay`, with the 95 % interval of a bootstrap over turns.
    """

    name: str
    cut_offs: float
    delay: float
    p50: float
    p95: float
    missed: int
    alone: float | None = None
    gain: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Sample:
    """Outcomes of all turns under one setting or several, to draw from.

    Attributes:
        cut: whether the turn was cut off, shape (..., turns).
        delay: seconds, NaN where the end was missed, the same shape.
    """

    cut: NDArray[np.bool_]
    delay: NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Sequence[Sequence[Outcome]]) -> Sample:
        """From a list of outcomes for each setting."""
        cut = np.array([[one.cut_off for one in setting] for setting in outcomes])
        return cls(cut, np.array([[one.delay for one in setting] for setting in outcomes], dtype=float))

    def drawn(self, turns: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rate of cut-offs and mean delay of each setting over these turns."""
        return self.cut[..., turns].mean(axis=-1), np.nanmean(self.delay[..., turns], axis=-1)


def measure(name: str, outcomes: Sequence[Outcome]) -> Row:
    """The figures of one setting."""
    delays = np.array([one.delay for one in outcomes if one.delay is not None])
    cut = float(np.mean([one.cut_off for one in outcomes]))
    p50, p95 = np.percentile(delays, [50, 95])
    return Row(name, cut, float(delays.mean()), float(p50), float(p95), missed=len(outcomes) - len(delays))


def at_equal_rate(rates: NDArray[np.float64], delays: NDArray[np.float64], rate: float) -> float | None:
    """The mean delay of silence alone where it cuts off the share `rate`, between the settings that were tried.

    Args:
        rates: of cut-offs, falling.
        delays: the mean delay at each.
        rate: the share.

    Returns:
        Seconds; None beyond what was tried.
    """
    if not rates[-1] <= rate <= rates[0]:
        return None
    first = int(np.argmax(rates <= rate))
    if first == 0 or rates[first] == rate:
        return float(delays[first])
    part = (rates[first - 1] - rate) / (rates[first - 1] - rates[first])
    return float(delays[first - 1] + part * (delays[first] - delays[first - 1]))


def compared(name: str, outcomes: Sequence[Outcome], alone: Sample, seed: int = 6) -> Row:
    """A setting's figures beside silence alone at an equal rate of cut-offs."""
    row = measure(name, outcomes)
    everything = np.arange(len(outcomes))
    equal = at_equal_rate(*alone.drawn(everything), row.cut_offs)
    if equal is None:
        return row
    own = Sample.of([outcomes])
    gains = []
    for turns in np.random.default_rng(seed).integers(0, len(outcomes), (_RESAMPLES, len(outcomes))):
        (rate,), (delay,) = own.drawn(turns)
        found = at_equal_rate(*alone.drawn(turns), rate)
        if found is not None:
            gains.append(found - delay)
    low, high = np.percentile(gains, [2.5, 97.5])
    return replace(row, alone=equal, gain=(equal - row.delay, float(low), float(high)))


def reading(model: Path | None) -> Judge:
    """The detector that reads, asked without a session around it."""
    judge = network.load(usable_model(model))

    def score(question: Question) -> float:
        return float(judge([network.Question(question.context[-6:], question.text)])[0])

    return score


def hearing() -> Judge:
    """The detector that listens. Raises ConfigurationError when its weights are not installed."""
    judge = smart_turn.network.load(smart_turn.network.weights_file())

    def score(question: Question) -> float | None:
        spoken = None if question.sound is None else spoken_part(question.sound)
        return None if spoken is None else judge(log_mel(spoken))

    return score


def remembered(judge: Judge) -> Judge:
    """The same judge, asked each question once."""
    known: dict[tuple[Any, ...], float | None] = {}

    def score(question: Question) -> float | None:
        size = None if question.sound is None else question.sound.size
        key = (question.context, question.text, size)
        if key not in known:
            known[key] = judge(question)
        return known[key]

    return score


def decide(heard: Sequence[Heard], judges: dict[str, tuple[Judge, float]]) -> tuple[list[Row], list[Row]]:
    """All settings: the curve of silence alone, and each detector beside it."""
    usual = TurnOptions()
    silent = [
        [replay(one, replace(usual, min_endpointing_delay=float(delay)), None) for one in heard]
        for delay in ALONE
    ]
    curve = [measure(f"silence alone, {delay:.2f} s", one) for delay, one in zip(ALONE, silent, strict=True)]
    alone = Sample.of(silent)
    rows = []
    for name, (judge, takes) in judges.items():
        ask = remembered(judge)
        for title, options in (VARIATIONS if name == "reads" else {", defaults": {}}).items():
            outcomes = [replay(one, replace(usual, **options), ask, takes=takes) for one in heard]
            rows.append(compared(f"{name}{title}", outcomes, alone))
    return curve, rows


VARIATIONS: dict[str, dict[str, float]] = {
    ", defaults": {},
    ", sure from 0.7": {"immediate_threshold": 0.7},
    ", sure from 0.95": {"immediate_threshold": 0.95},
    ", finished from 0.4": {"end_of_turn_threshold": 0.4},
    ", finished from 0.5": {"end_of_turn_threshold": 0.5},
    ", finished from 0.7": {"end_of_turn_threshold": 0.7},
    ", finished from 0.8": {"end_of_turn_threshold": 0.8},
    ", finished waits 0.8 s": {"min_endpointing_delay": 0.8},
    ", unfinished waits 2 s": {"max_endpointing_delay": 2.0},
    ", unfinished waits 2.5 s": {"max_endpointing_delay": 2.5},
    ", unfinished waits 4 s": {"max_endpointing_delay": 4.0},
}


def agreement(live: Sequence[Heard], judge: Judge) -> str:
    """How far sessions that asked the detector themselves differ from the replay of what they heard."""
    there = [outcome(one, one.commits) for one in live]
    again = [replay(one, TurnOptions(), judge, takes=READING) for one in live]
    both = [
        (one.delay, other.delay)
        for one, other in zip(there, again, strict=True)
        if one.delay is not None and other.delay is not None
    ]
    same = sum(one.cut_off == other.cut_off for one, other in zip(there, again, strict=True))
    apart = float(np.median([abs(one - other) for one, other in both])) if both else float("nan")
    row = measure("", there)
    return (
        f"{len(live)} turns heard by sessions with the detector: cut off {row.cut_offs:.1%}, mean delay {row.delay:.2f} s; "
        f"the replay says the same of {same}, its delays are {apart * 1000:.0f} ms off (median)"
    )


def table(rows: Sequence[Row]) -> str:
    """A Markdown table with a row for each setting."""
    lines = [
        "| setting | cut off | mean delay | p50 | p95 | silence alone at that rate | shorter by (95 %) | missed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        alone = "" if row.alone is None else f"{row.alone:.2f} s"
        gain = "" if row.gain is None else "{:.2f} s ({:.2f} to {:.2f})".format(*row.gain)
        lines.append(
            f"| {row.name} | {row.cut_offs:.1%} | {row.delay:.2f} s | {row.p50:.2f} s | {row.p95:.2f} s "
            f"| {alone} | {gain} | {row.missed} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    options = _options()
    if shutil.which("flite") is None:
        raise SystemExit("Install flite first.")
    logging.getLogger("antiphon").setLevel(logging.ERROR)
    judges: dict[str, tuple[Judge, float]] = {"reads": (reading(options.model), READING)}
    listens: Callable[[], Judge] = hearing
    try:
        judges["listens"] = (listens(), HEARING)
    except ConfigurationError as error:
        print(f"Without the audio detector: {error}")
    turns = speak_turns(load(options.data, options.data / options.file), options.count)
    print(
        f"{len(turns)} turns, {sum(one.seconds for one in turns):.0f} s of them, by {options.at_once} at once"
    )
    heard = asyncio.run(listen(turns, at_once=options.at_once, turn_detection="manual"))
    curve, rows = decide(heard, judges)
    detector = EnglishModel(options.model)
    live = asyncio.run(listen(turns[: options.live], at_once=options.at_once, turn_detection=detector))
    agrees = agreement(live, judges["reads"][0])
    print(f"\n{table([*curve[::2], *rows])}\n\n{agrees}")
    if options.json is not None:
        found = {"turns": len(turns), "alone": curve, "detectors": rows, "live": agrees}
        options.json.write_text(json.dumps(found, default=asdict, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.turn_detector.speech", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/turns"), help="the folder with pairs.py"
    )
    parser.add_argument("--file", default="dev.jsonl.gz", help="the file of turns in that folder")
    parser.add_argument("--model", type=Path, help="a model file; by default that of the installation")
    parser.add_argument("--count", type=int, default=150, help="how many turns are spoken")
    parser.add_argument("--live", type=int, default=30, help="how many are heard again by sessions that ask")
    parser.add_argument("--at-once", type=int, default=6, help="how many are heard at a time")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
