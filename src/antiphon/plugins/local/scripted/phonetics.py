"""How alike two English words sound: what a speech recogniser may have confused.

The key is a small one of our own in the spirit of Metaphone (L. Philips, 1990): consonants by sound, vowels dropped but
for a leading one.
"""

from __future__ import annotations

import re
from functools import lru_cache

_RULES = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^(?:kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^ps", "s"),
        (r"^x", "s"),
        (r"^h(?=our|onest|onou?r|eir)", ""),
        (r"^wh(?=o)", "h"),
        (r"^wh", "w"),
        (r"mb$", "m"),
        (r"tch|ch|sh|(?<=[a-z])(?:ti|ci|si)(?=[aeo])", "X"),
        (r"ph|ugh$", "f"),
        (r"igh", "i"),
        (r"gh", ""),
        (r"dge?(?=[eiy])|j|g(?=[eiy])", "J"),
        (r"ck|c(?![eiy])|q|k", "K"),
        (r"c|z", "s"),
        (r"x", "Ks"),
        (r"th", "0"),
        (r"[dt]", "T"),
        (r"[bp]", "B"),
        (r"[fv]", "F"),
        (r"g", "K"),
        (r"(?<=[a-zA-Z0])h", ""),
        (r"(?<=.)y|w(?![aeiou])", ""),
    )
)


@lru_cache(maxsize=8192)
def phonetic_key(word: str) -> str:
    """The consonant skeleton of a word, as in `BLNS` for `balance`; voiced and unvoiced stops are one sound."""
    sound = re.sub(r"[^a-z]", "", word.lower())
    if not sound:
        return ""
    leading_vowel = "A" if re.match(r"[aeiou]|hour|hon|heir", sound) else ""
    for pattern, replacement in _RULES:
        sound = pattern.sub(replacement, sound)
    sound = re.sub(r"[aeiou]", "", sound).upper()
    return leading_vowel + re.sub(r"(.)\1+", r"\1", sound)


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment)."""
    before, previous = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        current = [i] + [0] * len(other)
        for j, b in enumerate(other, 1):
            current[j] = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                current[j] = min(current[j], before[j - 2] + 1)
        before, previous = previous, current
    return previous[-1]


@lru_cache(maxsize=65536)
def similarity(one: str, other: str) -> float:
    """0 (different) to 1 (the same word), from spelling and from sound."""
    if one == other:
        return 1.0
    if one.isdigit() or other.isdigit() or min(len(one), len(other)) < 3:
        return 0.0
    spelling = 1 - edit_distance(one, other) / max(len(one), len(other))
    key, other_key = phonetic_key(one), phonetic_key(other)
    longest = max(len(key), len(other_key))
    if key == other_key and (longest >= 3 or (longest == 2 and spelling >= 0.6)):
        return (0.7 if longest >= 3 else 0.55) + 0.3 * spelling
    # One different sound is a likely mishearing only in a word with enough of them.
    sounds = 1 - edit_distance(key, other_key) / longest if longest >= 4 else 0.0
    if spelling >= 0.8 and len(one) >= 5:
        return max(spelling * 0.9, 0.4 * spelling + 0.6 * sounds)
    if sounds >= 0.75 and key[:1] == other_key[:1] and abs(len(one) - len(other)) <= 1:
        return 0.4 * spelling + 0.6 * sounds
    return 0.0
