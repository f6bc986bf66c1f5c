"""What a check gives: one number and what it may be. Knows no model."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

FLOAT32 = 1e-4
"""For two computations of the same in float32 with other shapes; anything out of place gives 1e-2 and more."""


@dataclass(frozen=True)
class Result:
    """Outcome of one check: `value` must be at most `tolerance`; None means that the LM itself does not offer it."""

    value: float | None
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """NaN does not pass."""
        return self.value is None or self.value <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"passed": self.passed}


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two sets of logits, divided by the largest logit, or by 1 where that is smaller."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))
