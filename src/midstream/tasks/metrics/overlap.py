"""BLEU (Papineni et al. 2002) and ROUGE-L (Lin 2004) as coco-caption computes them (arXiv 1504.00325). Pure Python."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Tokens = Sequence[str]

BETA: Final = 1.2
"""Weight of recall against precision in ROUGE-L."""
_SMALL: Final = 1e-9
_TINY: Final = 1e-15
"""What coco-caption adds below and above, so that nothing is divided by zero; without a match BLEU is not quite 0."""


def ngrams(tokens: Tokens, longest: int = 4) -> Counter[tuple[str, ...]]:
    """How often each run of 1 to `longest` tokens occurs."""
    return Counter(
        tuple(tokens[start : start + size]) for size in range(1, longest + 1) for start in range(len(tokens) - size + 1)
    )


@dataclass(frozen=True, slots=True)
class Matches:
    """What one caption adds to BLEU.

    Args:
        correct: per n of 1..4, n-grams that stand in a reference, each at most as often as in the one with most of it.
        length: the caption's tokens.
        wanted: tokens of the reference that is nearest in length, the shorter one where two are.
    """

    correct: tuple[int, ...]
    length: int
    wanted: int


def bleu_matches(prediction: Tokens, references: Sequence[Tokens], longest: int = 4) -> Matches:
    """The counts of one caption against its references, of which there must be one at least."""
    allowed: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        allowed |= ngrams(reference, longest)
    correct = [0] * longest
    for gram, count in (ngrams(prediction, longest) & allowed).items():
        correct[len(gram) - 1] += count
    length = len(prediction)
    wanted = min((len(reference) for reference in references), key=lambda size: (abs(size - length), size))
    return Matches(tuple(correct), length, wanted)


def bleu(matches: Sequence[Matches], n: int = 4) -> float:
    """BLEU-n of a corpus, 0 to 1: counts are summed over all captions before anything is divided.

    Geometric mean of the precisions of 1..n-grams, times exp(1 - wanted / length) where the captions are too short.

    Args:
        matches: of every caption, by `bleu_matches`.
        n: the longest n-gram.
    """
    length, wanted = sum(match.length for match in matches), sum(match.wanted for match in matches)
    product = 1.0
    for size in range(n):
        correct = sum(match.correct[size] for match in matches)
        tried = sum(max(match.length - size, 0) for match in matches)
        product *= (correct + _TINY) / (tried + _SMALL)
    ratio = (length + _TINY) / (wanted + _SMALL)
    return product ** (1 / n) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)


def rouge_l(prediction: Tokens, references: Sequence[Tokens]) -> float:
    """ROUGE-L of one caption, 0 to 1: an F-measure of the longest common subsequence, recall counted `BETA` times.

    Precision and recall are each the best over the references, so they may come from different ones. A corpus's score
    is the mean. An empty caption counts as one token, which only an empty reference has.
    """
    said, told = list(prediction) or [""], [list(reference) or [""] for reference in references]
    common = [longest_common_subsequence(said, reference) for reference in told]
    precision = max(common) / len(said)
    recall = max(shared / len(reference) for shared, reference in zip(common, told, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(one: Tokens, other: Tokens) -> int:
    """Length of the longest sequence of tokens that stands in both, in order, gaps allowed."""
    row = [0] * (len(other) + 1)
    for token in one:
        before, row = row, [0]
        for place, match in enumerate(other):
            row.append(before[place] + 1 if token == match else max(before[place + 1], row[place]))
    return row[-1]
