"""Scores of short answers, 0 to 1 for a prediction and its references. Knows no model, no data."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

_EDGES: Final = " \t\r\n.,;:!?\"'`"


def normalise(text: str) -> str:
    """Lower case, single spaces, no punctuation at either end."""
    return " ".join(text.lower().split()).strip(_EDGES)


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction equals a reference after `normalise`, else 0."""
    return float(normalise(prediction) in {normalise(reference) for reference in references})


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Best harmonic mean of word precision and recall over the references (SQuAD, arXiv 1606.05250, section 5).

    Words are what stands between spaces after `normalise`; SQuAD's own script drops articles and inner punctuation too.
    """
    return max(
        (_f1(normalise(prediction).split(), normalise(reference).split()) for reference in references), default=0.0
    )


def _f1(predicted: list[str], wanted: list[str]) -> float:
    shared = sum((Counter(predicted) & Counter(wanted)).values())
    if not predicted or not wanted:
        return float(predicted == wanted)
    return 2 * shared / (len(predicted) + len(wanted))
