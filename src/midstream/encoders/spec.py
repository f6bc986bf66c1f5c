"""Which features of an encoder are used: plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from midstream.errors import InputError


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Which features of an encoder are used.

    Args:
        layers: indices into the encoder's `hidden_states` (0 the embedding output, -1 the last block), one level each.
        tokens: "patches", "cls" (the one leading token) or "all".
        norm: apply the encoder's final norm to every level, as eP-ALM does. Without it, level -1 is still the
            encoder's own `last_hidden_state`, norm included where it has one.
        pool: each `pool` features that follow one another are averaged into one (in reading order; for a picture,
            neighbours in a row): average pooling, the plainest way to fewer tokens.
        noise: Gaussian noise of their shape instead of them, which tells nothing of the medium: a control.
    """

    layers: tuple[int, ...] = (-1,)
    tokens: str = "patches"
    norm: bool = False
    pool: int = 1
    noise: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.tokens not in ("patches", "cls", "all"):
            raise InputError(f"features.tokens is {self.tokens!r}; choose patches, cls or all")
        if self.pool < 1:
            raise InputError(f"features.pool is {self.pool}; it must be at least 1")
        if not self.layers:
            raise InputError("features.layers is empty; name at least one encoder layer, for example [-1]")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self) | {"layers": list(self.layers)}

    @classmethod
    def make(cls, value: "FeatureSpec | Mapping[str, Any] | None") -> "FeatureSpec":
        """From a spec, a mapping of its fields, or None for the defaults.

        Raises:
            InputError: unknown fields.
        """
        if isinstance(value, FeatureSpec):
            return value
        try:
            return cls(**(value or {}))
        except TypeError as error:
            raise InputError(f"features: {str(error).split('__init__() ')[-1]}") from None
