"""CIDEr-D (Vedantam et al., arXiv 1411.5726, section 6) as coco-caption computes it. Pure Python."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from midstream.tasks.metrics.overlap import Tokens, ngrams

LONGEST: Final = 4
SIGMA: Final = 6.0
"""Tokens of difference in length at which a score has fallen to exp(-1/2)."""
SCALE: Final = 10.0

Gram = tuple[str, ...]


def cider_d(predictions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """CIDEr-D of every caption, 0 to 10; a corpus's score is the mean.

    Captions are vectors of n-gram counts, each weighted by how rare it is: log(captions / captions with a reference
    that has it), known from these references alone. A score is the cosine with a reference, weights clipped to the
    reference's, times a Gaussian of the difference in length, averaged over n = 1..4 and the references, times 10. So
    a caption's score depends on which others are scored with it, and a single one always scores 0.

    Args:
        predictions: the captions as tokens.
        references: for each of them its references, one at least.
    """
    counted = [[ngrams(reference, LONGEST) for reference in group] for group in references]
    having = Counter(gram for group in counted for gram in set().union(*group))
    rarity = {gram: math.log(len(references) / number) for gram, number in having.items()}
    unseen = math.log(len(references)) if references else 0.0
    scores = []
    for prediction, group in zip(predictions, counted, strict=True):
        said = _Vector(ngrams(prediction, LONGEST), rarity, unseen)
        alike = sum(_likeness(said, _Vector(reference, rarity, unseen)) for reference in group)
        scores.append(SCALE * alike / len(group))
    return scores


class _Vector:
    """A caption as weighted n-gram counts, their length per n, and how many pairs of tokens it has."""

    def __init__(self, counts: Counter[Gram], rarity: Mapping[Gram, float], unseen: float) -> None:
        self.weights = {gram: count * rarity.get(gram, unseen) for gram, count in counts.items()}
        squares = [0.0] * LONGEST
        for gram, weight in self.weights.items():
            squares[len(gram) - 1] += weight**2
        self.norms = [math.sqrt(square) for square in squares]
        self.pairs = sum(count for gram, count in counts.items() if len(gram) == 2)
        """The length that is compared: coco-caption counts pairs of tokens, one fewer than tokens."""


def _likeness(said: _Vector, wanted: _Vector) -> float:
    """Mean over n of the clipped cosines, times the Gaussian of the difference in length."""
    dots = [0.0] * LONGEST
    for gram, weight in said.weights.items():
        told = wanted.weights.get(gram, 0.0)
        dots[len(gram) - 1] += min(weight, told) * told
    norms = [one * other for one, other in zip(said.norms, wanted.norms, strict=True)]
    cosines = [dot / norm if norm else dot for dot, norm in zip(dots, norms, strict=True)]
    return sum(cosines) / LONGEST * math.exp(-((said.pairs - wanted.pairs) ** 2) / (2 * SIGMA**2))
