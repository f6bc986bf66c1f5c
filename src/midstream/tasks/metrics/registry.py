"""The metrics by name. Owns how the answers to many questions become one score; the arithmetic is its neighbours'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from midstream.errors import InputError
from midstream.tasks.metrics.answers import exact_match, token_f1
from midstream.tasks.metrics.cider import SCALE, cider_d
from midstream.tasks.metrics.overlap import Tokens, bleu, bleu_matches, rouge_l
from midstream.tasks.metrics.tokens import caption_tokens
from midstream.tasks.metrics.vqa import vqa_accuracy


@dataclass(frozen=True, slots=True)
class Metric:
    """A score in two steps, so that parts of the answers (those of one type) can be scored in the light of all.

    Args:
        each: from all predictions and their references to what each of them adds to the score.
        total: from what any of them add to their score.
        best: the highest score there is.
    """

    each: Callable[[Sequence[str], Sequence[Sequence[str]]], Sequence[Any]]
    total: Callable[[Sequence[Any]], float]
    best: float = 1.0

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """The score of predictions, each with its own references.

        Raises:
            InputError: not as many predictions as lists of references, or none at all.
        """
        return self.total(self.contributions(predictions, references))

    def contributions(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Any]:
        """What each prediction adds; `total` makes a score of any of them.

        Raises:
            InputError: as `score`.
        """
        if len(predictions) != len(references):
            raise InputError(f"{len(predictions)} answers need as many lists of references, not {len(references)}")
        if not predictions:
            raise InputError("there is nothing to score: no answers were given")
        return list(self.each(predictions, references))


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return sum(values) / len(values)


def _one_by_one(score: Callable[[str, Sequence[str]], float]) -> Metric:
    def each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        return [score(*pair) for pair in zip(predictions, references, strict=True)]

    return Metric(each, mean)


def _cut(texts: Sequence[str]) -> list[list[str]]:
    return [caption_tokens(text) for text in texts]


def _on_tokens(each: Callable[[list[list[str]], list[list[list[str]]]], Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    def of_texts(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[Any]:
        for number, group in enumerate(references):
            if not group:
                raise InputError(f"caption {number} has no reference to be scored against; give at least one answer")
        return each(_cut(predictions), [_cut(group) for group in references])

    return of_texts


def _pairwise(score: Callable[[Tokens, Sequence[Tokens]], Any]) -> Callable[..., Sequence[Any]]:
    return _on_tokens(lambda said, told: [score(*pair) for pair in zip(said, told, strict=True)])


METRICS: Final[dict[str, Metric]] = {
    "exact": _one_by_one(exact_match),
    "vqa": _one_by_one(vqa_accuracy),
    "f1": _one_by_one(token_f1),
    **{f"bleu{n}": Metric(_pairwise(bleu_matches), partial(bleu, n=n)) for n in (1, 2, 3, 4)},
    "rougeL": Metric(_pairwise(rouge_l), mean),
    "cider": Metric(_on_tokens(cider_d), mean, best=SCALE),
}
"""Every metric a recipe can choose."""

CAPTION_METRICS: Final = ("bleu1", "bleu2", "bleu3", "bleu4", "rougeL", "cider")
"""Those that are told together, whichever of them is chosen."""


def reported(metric: str, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The scores that are told where `metric` was chosen: all of a caption's together, else the one.

    With a caption's scores stands `length`, the mean number of tokens of a prediction.

    Raises:
        InputError: as `Metric.score`.
    """
    names = CAPTION_METRICS if metric in CAPTION_METRICS else (metric,)
    scores = {name: METRICS[name].score(predictions, references) for name in names}
    if metric in CAPTION_METRICS:
        scores["length"] = mean([len(tokens) for tokens in _cut(predictions)])
    return scores
