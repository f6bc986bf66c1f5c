"""What lives where: which LM layers see a modality's tokens, and what is written to them there.

Pure data: no weights, no torch, no model. A layer number is 0-based and means *the input of that decoder layer*.

          layer   0  1  2  3  4  5  6  7      (L = 8)
    prepend()     #  #  #  #  #  #  #  #      LLaVA, LiMBeR
    deep_insert(4)            #  #  #  #      DeepInsert "DI-4"
    window(2, 5)        #  #  #               active in [2, 5)
    ep_alm(4, 7, 2)           0  0  1  1      one token, replaced by the next [CLS] level
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from midstream.errors import InputError


@dataclass(frozen=True, slots=True)
class Write:
    """The connector's output number `level` is written to the tokens at the input of `layer`, replacing them."""

    layer: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where the tokens of one modality live.

    Args:
        enter: first layer that sees the tokens. 0 is ordinary concatenation with the prompt.
        leave: first layer that no longer sees them; None means they stay to the end.
        writes: what is written where. The first write is the entry itself; a later one replaces the tokens.
        name: the preset that made it, for people to read.

    Raises:
        InputError: the layers are not in order, or a write falls where the tokens do not live.
    """

    enter: int = 0
    leave: int | None = None
    writes: tuple[Write, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.writes:
            object.__setattr__(self, "writes", (Write(self.enter),))
        numbers = [self.enter, *(number for write in self.writes for number in (write.layer, write.level))]
        for number in numbers if self.leave is None else [*numbers, self.leave]:
            if not isinstance(number, int) or isinstance(number, bool):
                raise InputError(f"{number!r} is not a layer or level; those are whole numbers, counted from 0")
        if self.enter < 0:
            raise InputError(f"enter={self.enter} is not a layer; layers are counted from 0")
        if self.leave is not None and self.leave <= self.enter:
            raise InputError(f"leave={self.leave} must be above enter={self.enter}, or the tokens are never seen")
        layers = [write.layer for write in self.writes]
        if layers != sorted(set(layers)) or layers[0] != self.enter:
            raise InputError(f"writes at layers {layers} must rise strictly and begin at enter={self.enter}")
        if self.leave is not None and layers[-1] >= self.leave:
            raise InputError(f"a write at layer {layers[-1]} falls after the tokens left at layer {self.leave}")
        if min(write.level for write in self.writes) < 0 or self.writes[0].level != 0:
            raise InputError(f"levels {[write.level for write in self.writes]} must begin at 0 and not be negative")

    @property
    def levels(self) -> int:
        """How many different outputs the connector must give."""
        return max(write.level for write in self.writes) + 1

    def is_live(self, layer: int) -> bool:
        """Whether the tokens are part of the sequence in this decoder layer."""
        return self.enter <= layer and (self.leave is None or layer < self.leave)

    def level_written_at(self, layer: int) -> int | None:
        """The level written at the input of `layer`, or None."""
        return next((write.level for write in self.writes if write.layer == layer), None)

    def validate(self, num_layers: int, modality: str = "a modality") -> Self:
        """Check the schedule against an LM of `num_layers` layers.

        Raises:
            InputError: it names a layer that the LM does not have.
        """
        last = max(write.layer for write in self.writes)
        if last >= num_layers:
            raise InputError(
                f"the schedule of {modality} writes at layer {last}, but the LM has layers 0..{num_layers - 1}; "
                f"choose a layer of at most {num_layers - 1}"
            )
        if self.leave is not None and self.leave > num_layers:
            raise InputError(
                f"the schedule of {modality} leaves at layer {self.leave}, but the LM has {num_layers} layers; "
                f"use leave=None to stay to the end"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form; `from_dict` is its inverse."""
        writes = [[write.layer, write.level] for write in self.writes]
        return {"name": self.name, "enter": self.enter, "leave": self.leave, "writes": writes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            InputError: unknown or missing keys, or values that make no schedule.
        """
        known = {"name", "enter", "leave", "writes"}
        if unknown := set(data) - known:
            raise InputError(f"unknown schedule keys {sorted(unknown)}; the keys are {sorted(known)}")
        if "enter" not in data:
            raise InputError(f"a schedule must say where the tokens enter; its keys are {sorted(data)}")
        try:
            writes = tuple(Write(layer, level) for layer, level in data.get("writes", ()))
        except (TypeError, ValueError):
            raise InputError(f"writes must be pairs of a layer and a level, not {data['writes']!r}") from None
        return cls(data["enter"], data.get("leave"), writes, data.get("name", "custom"))

    def draw(self, num_layers: int) -> str:
        """One character a layer: `.` absent, `#` live, a digit where that level is written.

        >>> deep_insert(2).draw(6)
        '..0###'
        """
        cells = []
        for layer in range(num_layers):
            level = self.level_written_at(layer)
            cells.append(str(level % 10) if level is not None else "#" if self.is_live(layer) else ".")
        return "".join(cells)


def prepend() -> Schedule:
    """All tokens in all layers, as LLaVA (arXiv 2304.08485) and LiMBeR (arXiv 2209.15162) do."""
    return Schedule(0, name="prepend")


def deep_insert(layer: int) -> Schedule:
    """Tokens join at the input of `layer` and stay: DeepInsert's DI-k (arXiv 2504.19327)."""
    return Schedule(layer, name="deep_insert")


def window(first: int, last: int) -> Schedule:
    """Tokens live in layers first..last-1 only (HiDrop's window without its pruning; VTW when first=0)."""
    return Schedule(first, last, name="window")


def ep_alm(first: int, last: int, levels: int) -> Schedule:
    """eP-ALM (arXiv 2303.11403, section 3): one token, rewritten at each layer first..last by the encoder's last [CLS].

    The `levels` [CLS] tokens, shallowest first, are spread evenly over the layers; each is written at
    `(last - first + 1) / levels` consecutive layers. For OPT with 32 layers the paper uses `ep_alm(19, 30, 6)`.

    Raises:
        InputError: more levels than layers to write them at.
    """
    span = last - first + 1
    if not 1 <= levels <= span:
        raise InputError(
            f"ep_alm({first}, {last}) has {span} layers; it can hold 1..{max(span, 1)} levels, not {levels}"
        )
    writes = tuple(Write(first + offset, offset * levels // span) for offset in range(span))
    return Schedule(first, None, writes, name="ep_alm")


def soft_prompt() -> Schedule:
    """Learned vectors in front of the text in all layers (prompt tuning, arXiv 2104.08691)."""
    return Schedule(0, name="soft_prompt")


PRESETS = {
    "prepend": prepend,
    "deep_insert": deep_insert,
    "window": window,
    "ep_alm": ep_alm,
    "soft_prompt": soft_prompt,
}


def preset(name: str, **arguments: int) -> Schedule:
    """The preset called `name`, as recipes write it.

    Raises:
        InputError: no such preset, or wrong arguments for it.
    """
    if name not in PRESETS:
        raise InputError(f"unknown schedule preset {name!r}; choose one of {sorted(PRESETS)}")
    try:
        return PRESETS[name](**arguments)  # type: ignore[operator]
    except TypeError as error:
        raise InputError(f"schedule preset {name}: {error}") from None
