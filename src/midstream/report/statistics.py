"""Means, intervals and differences from the scores of single questions. Knows rows of results, draws nothing.

Questions about one scene stand or fall together, so scenes are drawn and not questions; the same draw serves all
seeds and both sides of a difference, because all of them answered the same questions (a paired cluster bootstrap with
percentile intervals; B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.95
Scores = Sequence[float]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it would lie with other scenes.

    Args:
        value: the mean over questions and seeds.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def bootstrap(
    runs: Sequence[Scores], scenes: Sequence[float], draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The mean over questions and runs, and its interval over scenes.

    Args:
        runs: for each seed the scores of the same questions in the same order.
        scenes: of each question, the scene that it is about.
        draws: of as many scenes as there are, with replacement.
        level: share of the draws inside.
        seed: of the draws.
    """
    per_question: Array = np.asarray(runs, dtype=np.float64).mean(axis=0)
    return _percentiles(float(per_question.mean()), _draw(per_question, scenes, draws, seed), level)


def difference(
    first: Sequence[Scores],
    second: Sequence[Scores],
    scenes: Sequence[float],
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """How much higher the mean of `first` is than that of `second`, question by question; see `bootstrap`."""
    gap: Array = np.asarray(first, dtype=np.float64).mean(axis=0) - np.asarray(second, dtype=np.float64).mean(axis=0)
    return _percentiles(float(gap.mean()), _draw(gap, scenes, draws, seed), level)


def wilson(value: float, n: int, z: float = 1.959964) -> Interval:
    """The interval of a share of `n` independent answers (E. B. Wilson, JASA 22, 1927), where no single scores are."""
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(max(value * (1 - value), 0.0) / n + z * z / (4 * n * n))
    return Interval(value, max(float(centre - half), 0.0), min(float(centre + half), 1.0))


def interval_of(rows: Sequence[Mapping[str, Any]]) -> Interval:
    """The interval of rows that differ in their seed: over scenes where all answered the same questions, else Wilson's.

    Args:
        rows: of one cell's settings, condition and split.
    """
    scored = [row for row in rows if row["scores"]]
    same = len({row["question_set"] for row in rows}) == 1 and len({len(row["scores"] or ()) for row in rows}) == 1
    if len(scored) == len(rows) and same:
        return bootstrap([row["scores"] for row in rows], rows[0]["scenes"])
    return wilson(mean(row["value"] for row in rows), rows[0]["n"])


def front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Numbers of the points that no other one beats in both, cheapest first."""
    order = sorted(range(len(costs)), key=lambda n: (costs[n], -values[n]))
    best, kept = -np.inf, []
    for number in order:
        if values[number] > best:
            best = values[number]
            kept.append(number)
    return kept


def _draw(per_question: Array, scenes: Sequence[float], draws: int, seed: int) -> Array:
    """Means of drawn scenes, (draws,)."""
    _, of = np.unique(np.asarray(scenes), return_inverse=True)
    sums, counts = np.bincount(of, weights=per_question), np.bincount(of)
    times = _times(len(counts), draws, seed)
    drawn: Array = (times @ sums) / (times @ counts)
    return drawn


@lru_cache(maxsize=4)
def _times(scenes: int, draws: int, seed: int) -> Array:
    """How often each scene is in each draw, (draws, scenes): the same for all that answered the same questions."""
    counted = np.random.default_rng(seed).multinomial(scenes, np.full(scenes, 1 / scenes), size=draws)
    return counted.astype(np.float64)


def _percentiles(value: float, drawn: Array, level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
