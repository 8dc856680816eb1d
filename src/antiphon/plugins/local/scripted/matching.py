"""Which intent a sentence means: weighted overlap with example phrases, tolerant of paraphrase and of mishearing.

No training: rare words of the examples weigh more than common ones (inverse document frequency over intents), words
match by stem, by synonym, or by sound, and a keyword phrase of the script is strong evidence by itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .phonetics import phonetic_key, similarity
from .tokens import Token, tokenize
from .word_list import word_set

# Words that carry little of what a caller wants; they still count a little.
_LIGHT = word_set("""a an the and or but so of to in on at for from with by about into i me my mine we us our you your it its is am
    are was were be been being do does did have has had can could will would shall should may might must please just
    like want need wish get got let maybe actually really quite um uh er hmm well ok okay oh hi hey hello there here
    then now right also some any that this these those if as up going try trying wonder wondering possible able today
    quickly sorry know think guess think mean bit little one thing so sir madam guys again let's love tell give
    make take put kindly yes yeah hey enough no nope wait""")
# Frequent words that a recogniser gets right: none of them is a mishearing of a word of the script.
_PLAIN = word_set(
    """what when where why which who whose how year month week day night time still war end start new old good bad big
    small great nice best long short high low next last first other same own many much more most few lot all both each
    only very too never always ever again before after since while because through under over between off down out
    back home house work life world man woman men women child children people friend name book read write play watch
    listen see look hear feel find keep leave live move run walk eat drink sleep buy sell use come came went said say
    called he she they him her them his hers their"""
)
_SYNONYMS: Mapping[str, Sequence[str]] = {"wait": ("hang on", "hold on")}  # in any script
_LIGHT_WEIGHT = 0.22
_UNKNOWN_WEIGHT = 0.75  # of the heaviest weight: a word that no example knows speaks against every intent
_ALL_LIGHT = 0.7  # how much a sentence of light words alone is believed when it is no example
_VALUE_WEIGHT = 1.2
_KEYWORD_FLOOR = 0.62
_ALIKE = 0.6  # what a mishearing must have in common with a known word
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_STEM = re.compile(r"(?<=[a-z]{3})(?:(?<!th)ings?|ed|es|s)$")


Word = tuple[str, str]  # as spelled, and as compared
Heard = tuple[float, dict[str, float]]  # a word's weight, and the known terms that it may be


@dataclass(frozen=True)
class Phrases:
    """How an intent is asked for: example sentences, and phrases whose words alone say enough."""

    examples: tuple[str, ...]
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """How well a sentence fits an intent, 0 to 1."""

    intent: str
    score: float


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The word without a plural or verb ending."""
    if word in _LIGHT or len(word) <= 4:
        return word
    short = _STEM.sub("", word)
    if short.endswith("i") and len(short) > 3:
        return short[:-1] + "y"
    if len(short) > 4 and short[-1] == short[-2] and short[-1] not in "ls":
        return short[:-1]
    return short.rstrip("e") if len(short) > 4 else short


def is_light(word: str) -> bool:
    """Whether a word carries little of what a caller wants, as `please` or `the`."""
    return word in _LIGHT


class Matcher:
    """Scores sentences against intents.

    Args:
        intents: intent name to its phrases.
        synonyms: canonical word to words or short phrases that mean the same here.
        values: slot name to the phrases that stand for it, as in `{"account": ["savings", ...]}`: an example may say
            `{account}` for any of them. A slot without phrases is a number, as in `send {amount}`.
    """

    def __init__(
        self,
        intents: Mapping[str, Phrases],
        synonyms: Mapping[str, Sequence[str]] | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._replace = _phrase_table({**_SYNONYMS, **(synonyms or {})}, values or {})
        self._rank = lru_cache(maxsize=2048)(self._rank_uncached)
        self._misheard = lru_cache(maxsize=4096)(self._misheard_uncached)
        self._spellings = {
            phrase[0]: term
            for phrase, term in self._replace.items()
            if len(phrase) == 1 and term[0] not in "@#"
        }
        self._weights: dict[str, float] = {}  # empty while examples are read: no halves of words there
        self._longest = max((len(phrase) for phrase in self._replace), default=1)
        self._examples: list[tuple[str, tuple[str, ...]]] = []
        self._keywords: list[tuple[str, tuple[str, ...]]] = []
        for name, phrases in intents.items():
            for example in dict.fromkeys(map(self.terms, phrases.examples)):
                if example:
                    self._examples.append((name, example))
            self._keywords.extend((name, self.terms(phrase)) for phrase in phrases.keywords)
        self._learn_weights(list(intents))
        self._index_spellings()

    def _index_spellings(self) -> None:
        """Known words as they are spelled, by how they sound, for what a recogniser may have made of them."""
        self._by_key: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._by_initial: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for word, term in self._spellings.items():
            if term in self._weights and term not in _LIGHT:
                key = phonetic_key(word)
                self._by_key[key].append((word, term))
                self._by_initial[word[:1]].add((word, term))
                self._by_initial[key[:1]].add((word, term))

    def terms(self, text: str) -> tuple[str, ...]:
        """The comparable terms of an example: stems, synonyms replaced, values and numbers by placeholder."""
        text = _PLACEHOLDER.sub(lambda match: f" {_placeholder_word(match[1])} ", text)
        found = self._terms(tokenize(text))
        self._spellings.update((word, term) for word, term in found if term[0] not in "@#")
        return tuple(term for _, term in found)

    def rank(self, text: str) -> list[Match]:
        """Every intent that fits at all, best first. Sentences of the text are also tried one by one."""
        best: dict[str, float] = {}
        for matches in self.rank_segments(text):
            for match in matches:
                best[match.intent] = max(best.get(match.intent, 0.0), match.score)
        return [Match(name, score) for name, score in sorted(best.items(), key=lambda item: -item[1])]

    def rank_segments(self, text: str) -> tuple[tuple[Match, ...], ...]:
        """The intents that fit the whole text, then those that fit each of its sentences, best first."""
        return self._rank(text)

    def _rank_uncached(self, text: str) -> tuple[tuple[Match, ...], ...]:
        ranked = []
        for terms in self._segments(text):
            scores = sorted(self._scores(terms).items(), key=lambda item: -item[1])
            ranked.append(tuple(Match(name, round(score, 4)) for name, score in scores if score > 0))
        return tuple(ranked)

    def _segments(self, text: str) -> list[list[Word]]:
        sentences: list[list[Token]] = [[]]
        for token in tokenize(text):
            if token.kind == "stop":
                sentences.append([])
            else:
                sentences[-1].append(token)
        parts = [self._terms(tokens) for tokens in sentences if tokens]
        whole = [word for part in parts for word in part]
        return [whole, *parts] if len(parts) > 1 else [whole]

    def _terms(self, tokens: Sequence[Token]) -> list[Word]:
        texts = [_term_of(token) for token in tokens if token.kind != "stop"]
        terms: list[Word] = []
        at = 0
        while at < len(texts):
            length = self._longest_phrase(texts, at)
            if length:
                terms.append(
                    (texts[at] if length == 1 else "", self._replace[tuple(texts[at : at + length])])
                )
            elif at + 1 < len(texts) and (joined := self._joined(texts[at], texts[at + 1])):
                terms.append((texts[at] + texts[at + 1], joined))
                length = 2
            else:
                terms.append((texts[at], stem(texts[at])))
            at += length or 1
        return terms

    def _longest_phrase(self, texts: Sequence[str], at: int) -> int:
        """How many words from here a synonym or a value covers."""
        for length in range(min(self._longest, len(texts) - at), 0, -1):
            if tuple(texts[at : at + length]) in self._replace:
                return length
        return 0

    def _joined(self, one: str, other: str) -> str:
        """The known word that two words are the halves of, as in `trans actions`."""
        if not self._weights or (one,) in self._replace or (other,) in self._replace:
            return ""
        if stem(one) in self._weights and stem(other) in self._weights:
            return ""
        word = one + other
        if (term := self._replace.get((word,), stem(word))) in self._weights:
            return term
        if len(word) < 6:
            return ""
        known = self._by_key.get(phonetic_key(word), ())
        near, term = max(((similarity(word, spelled), term) for spelled, term in known), default=(0.0, ""))
        return term if near >= 0.9 and not (one in _LIGHT and other in _LIGHT) else ""

    def _learn_weights(self, names: Sequence[str]) -> None:
        seen_in: dict[str, set[str]] = defaultdict(set)
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        sizes = Counter(name for name, _ in self._examples)
        for name, terms in [*self._examples, *self._keywords]:
            for term in set(terms):
                seen_in[term].add(name)
                counts[name][term] += 1
        self._heaviest = math.log(1 + max(len(names), 1)) + 0.5
        self._weights = {
            term: _LIGHT_WEIGHT if term in _LIGHT else math.log(1 + len(names) / len(where)) + 0.5
            for term, where in seen_in.items()
        }
        # A day or an account is said about many things; it tells less than a verb.
        for term in self._weights:
            if term[0] in "@#":
                self._weights[term] = min(self._weights[term], _VALUE_WEIGHT)
        # How much a term speaks for each intent that knows it; the shares of a term add up to one.
        self._votes: dict[str, dict[str, float]] = {}
        for term, where in seen_in.items():
            shares = {name: counts[name][term] / (sizes[name] + 3) for name in where}
            total = sum(shares.values())
            self._votes[term] = {name: share / total for name, share in shares.items()}

    def _weight(self, term: str) -> float:
        known = self._weights.get(term)
        if known is not None:
            return known
        return _LIGHT_WEIGHT if term in _LIGHT else self._heaviest * _UNKNOWN_WEIGHT

    def _closest(self, words: Sequence[Word]) -> list[Heard]:
        """For each word its weight and the vocabulary terms that it may stand for, with how surely."""
        return [
            (self._weight(term), {term: 1.0})
            if term in self._weights or term in _LIGHT or term[0] in "@#" or word in _PLAIN
            else self._misheard(word, term)
            for word, term in words
        ]

    def _misheard_uncached(self, word: str, term: str) -> Heard:
        near: dict[str, float] = {}
        initials = (word[:1], phonetic_key(word)[:1])
        for known, meant in set().union(*(self._by_initial.get(initial, set()) for initial in initials)):
            alike = similarity(word, known)
            if alike > _ALIKE:
                near[meant] = max(near.get(meant, 0.0), alike)
        return self._weight(term), near

    def _scores(self, words: Sequence[Word]) -> dict[str, float]:
        heard = self._closest(words)
        total = sum(weight for weight, _ in heard)
        if not total:
            return {}
        votes: dict[str, float] = defaultdict(float)
        alike: dict[str, float] = {}
        for weight, near in heard:
            best = max(near.values(), default=0.0)
            for word, sure in near.items():
                alike[word] = max(alike.get(word, 0.0), sure)
                if sure == best:
                    for name, share in self._votes.get(word, {}).items():
                        votes[name] += weight * sure * share / total
        overlap = self._overlaps(heard, alike, total)
        keyword = self._keyword_hits(alike)
        scores = {}
        for name in {*votes, *overlap, *keyword}:
            score = 0.6 * overlap.get(name, 0.0) + 0.4 * votes.get(name, 0.0)
            if name in keyword:
                score = max(score, _KEYWORD_FLOOR * keyword[name] ** 2 + 0.38 * score)
            scores[name] = score
        if all(weight <= _LIGHT_WEIGHT for weight, _ in heard):
            said = tuple(term for _, term in words)
            exact = {name for name, example in self._examples if example == said}
            return {name: score if name in exact else score * _ALL_LIGHT for name, score in scores.items()}
        return scores

    def _overlaps(self, heard: Sequence[Heard], alike: Mapping[str, float], total: float) -> dict[str, float]:
        """The best harmonic mean, over an intent's examples, of what both sides have in common."""
        best: dict[str, float] = {}
        for name, example in self._examples:
            found = sum(self._weights[term] * alike.get(term, 0.0) for term in example)
            if not found:
                continue
            covered = found / sum(self._weights[term] for term in example)
            said = sum(w * max((near.get(t, 0.0) for t in example), default=0.0) for w, near in heard) / total
            if covered + said:
                best[name] = max(best.get(name, 0.0), 2 * covered * said / (covered + said))
        return best

    def _keyword_hits(self, alike: Mapping[str, float]) -> dict[str, float]:
        """How surely a whole keyword phrase was said, in any order, for each intent."""
        hits: dict[str, float] = {}
        for name, phrase in self._keywords:
            sure = min((alike.get(term, 0.0) for term in phrase), default=0.0)
            if sure > 0:
                hits[name] = max(hits.get(name, 0.0), sure)
        return hits


def _term_of(token: Token) -> str:
    if token.kind == "number" and token.value == 1 and token.end - token.start == len("one"):
        return "one"  # as in "the savings one": no amount
    return "#" if token.kind in ("number", "money") else token.text


def _placeholder_word(slot: str) -> str:
    """A word that nobody says, for `{slot}` in an example."""
    return "zzslot" + re.sub(r"[^a-z]", "", slot.lower())


def _phrase_table(
    synonyms: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]
) -> dict[tuple[str, ...], str]:
    table: dict[tuple[str, ...], str] = {}
    for canonical, phrases in synonyms.items():
        for phrase in phrases:
            table[tuple(map(_term_of, tokenize(phrase)))] = stem(canonical)
    for slot, phrases in values.items():
        # Two slots with the same values, such as from and to accounts, share one placeholder.
        keys = [tuple(map(_term_of, tokenize(phrase))) for phrase in phrases]
        placeholder = "#" if not keys else table.get(keys[0], "@" + slot)
        for key in [*keys, (_placeholder_word(slot),)]:
            table.setdefault(key, placeholder)
    return table
