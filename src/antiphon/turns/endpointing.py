"""How long to wait after speech before the turn is the agent's."""

from __future__ import annotations

from .options import TurnOptions


def delay(probability: float | None, options: TurnOptions, *, words_owed: bool = False) -> float:
    """Seconds from the end of speech to the commit.

    Args:
        probability: the detector's opinion that the turn is finished; None without one.
        options: thresholds and the two delays.
        words_owed: there was speech after the words that the detector saw, so that it judged only a part.

    Returns:
        0 when the turn is surely over (silence is confirmed by then), the minimum when it looks finished or nothing
        is known, the maximum when it looks unfinished. While words are owed, a sure end counts as a likely one, and what
        looked unfinished waits `unheard_words_delay`: the missing words may have finished it.
    """
    if probability is None:
        return options.min_endpointing_delay
    if probability >= options.immediate_threshold and not words_owed:
        return 0.0
    if probability >= options.end_of_turn_threshold:
        return options.min_endpointing_delay
    longest = options.max_endpointing_delay
    if words_owed:
        longest = min(longest, options.unheard_words_delay)
    return max(options.min_endpointing_delay, longest)
