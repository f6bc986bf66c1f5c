"""What the plain LM misses by where a check fails: its own cache or beams may not give what it gives without them."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel

from midstream.compat.result import Result, difference
from midstream.compat.scene import ROWS
from midstream.engine.ordinary import CACHE_NAMES


def no_worse(result: Result, plain: Callable[[], float]) -> Result:
    """Where a check fails that the plain LM fails as well, twice what the plain LM misses by is let pass, and said."""
    if result.passed or not (own := plain()) > result.tolerance:
        return result
    return Result(result.value, 2 * own, f"the plain LM itself misses by {own:.1e}")


@torch.no_grad()
def cached_alone(lm: PreTrainedModel) -> float:
    """A text decoded word by word on the plain LM's cache, against one pass over it."""
    ids = torch.tensor([ROWS[0].ids])
    whole = lm(input_ids=ids, use_cache=False).logits[0]
    step = lm(input_ids=ids[:, :9], use_cache=True)
    parts = [step.logits[0]]
    for column in range(9, ids.shape[1]):
        cache = {name: step[name] for name in CACHE_NAMES if name in step}
        step = lm(input_ids=ids[:, column : column + 1], use_cache=True, **cache)
        parts.append(step.logits[0])
    return difference(torch.cat(parts), whole)


def beams_alone(lm: PreTrainedModel) -> float:
    """Tokens of three beams of the plain LM that differ with a cache and without."""
    settings: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": 3, "do_sample": False}
    differ = 0.0
    for row in ROWS:
        ids = torch.tensor([row.ids])
        differ += float((lm.generate(ids, **settings) != lm.generate(ids, use_cache=False, **settings)).sum())
    return differ
