"""What lives where: which LM layers see a modality's tokens, and what is written to them there.

Pure data: no weights, no torch, no model. A layer number is 0-based and means *the input of that decoder layer*. In
each layer a token is in one of four states:

    absent     the layer does not know of it
    active     queries, keys, values and FFN, like text
    readable   keys and values only: others read it, it does not change (and costs two projections)
    parked     carried past the layer unseen and unchanged, to be seen again later (and costs nothing)

The published ways of routing a modality are values of this language; `midstream.presets` names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Literal, Self, get_args

from midstream.errors import InputError

State = Literal["absent", "active", "readable", "parked"]
Mode = Literal["replace", "add"]
Choice = Literal["attention", "preview", "norm", "even", "random"]
Reach = Literal["causal", "slot", "all"]

SIGNS = {"absent": ".", "active": "#", "readable": "o", "parked": "_"}
LEGEND = ". absent, # active, o only read, _ parked, a digit where that level is written, + added, k some dropped"


@dataclass(frozen=True, slots=True)
class Write:
    """The connector's output number `level` is written to the tokens at the input of `layer`.

    Args:
        mode: `replace` puts it in their place (eP-ALM), `add` adds it to what they are (DeepStack).
    """

    layer: int
    level: int = 0
    mode: Mode = "replace"


@dataclass(frozen=True, slots=True)
class Keep:
    """From the input of `layer` on, only a fraction of each slot's tokens stay: max(1, floor(fraction * tokens)).

    Args:
        fraction: of the tokens that are still there, in (0, 1].
        by: `attention`, those that the last text token attends to most in the layer before, mean over heads (FastV,
            arXiv 2403.06764); `preview`, the same in this layer, as it would be if all stayed (PyramidDrop, arXiv
            2410.17247); `norm`, those with the longest hidden states; `even`, evenly spaced; `random`.
    """

    layer: int
    fraction: float
    by: Choice = "attention"

    @property
    def looks_at(self) -> int | None:
        """The layer whose attention decides, or None."""
        return {"attention": self.layer - 1, "preview": self.layer}.get(self.by)

    def count(self, tokens: int) -> int:
        """How many of `tokens` stay."""
        return max(1, floor(self.fraction * tokens + 1e-9)) if tokens else 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where the tokens of one modality live.

    Args:
        enter: first layer that sees the tokens. 0 is ordinary concatenation with the prompt.
        leave: first layer that no longer sees them; None means they stay to the end.
        writes: what is written where. The first write is the entry itself; later ones replace or add.
        readable: layers in between that read the tokens and leave them as they are.
        parked: layers in between that do not see them.
        keeps: where tokens are dropped for good.
        reach: what an active token reads: `causal`, what stands before it, like text; `slot`, also the later tokens of
            its own slot (PaliGemma, Gemma 3); `all`, also later text, which leaks (eP-ALM's published mask).
        name: the preset that made it, for people to read.

    Raises:
        InputError: the layers are not in order, or something is said of a layer where the tokens do not live.
    """

    enter: int = 0
    leave: int | None = None
    writes: tuple[Write, ...] = ()
    readable: tuple[int, ...] = ()
    parked: tuple[int, ...] = ()
    keeps: tuple[Keep, ...] = ()
    reach: Reach = "causal"
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.writes:
            object.__setattr__(self, "writes", (Write(self.enter),))
        for field in ("readable", "parked"):
            object.__setattr__(self, field, tuple(sorted(set(getattr(self, field)))))
        self._check_numbers()
        if self.enter < 0:
            raise InputError(f"enter={self.enter} is not a layer; layers are counted from 0")
        if self.leave is not None and self.leave <= self.enter:
            raise InputError(f"leave={self.leave} must be above enter={self.enter}, or the tokens are never seen")
        self._check_writes()
        for field in ("readable", "parked"):
            if outside := [layer for layer in getattr(self, field) if not self.is_live(layer)]:
                raise InputError(
                    f"{field} names layer {outside[0]}, but the tokens live in {self.enter}..{self._end()}"
                )
        if both := set(self.readable) & set(self.parked):
            raise InputError(f"layer {min(both)} is both readable and parked; it can be one of them")
        self._check_keeps()
        if self.reach not in get_args(Reach):
            raise InputError(f"reach {self.reach!r}; choose one of {list(get_args(Reach))}")

    def _check_numbers(self) -> None:
        numbers = [self.enter, *(number for write in self.writes for number in (write.layer, write.level))]
        numbers += [*self.readable, *self.parked, *(keep.layer for keep in self.keeps)]
        for number in numbers if self.leave is None else [*numbers, self.leave]:
            if not isinstance(number, int) or isinstance(number, bool):
                raise InputError(f"{number!r} is not a layer or level; those are whole numbers, counted from 0")

    def _check_writes(self) -> None:
        layers = [write.layer for write in self.writes]
        if layers != sorted(set(layers)) or layers[0] != self.enter:
            raise InputError(f"writes at layers {layers} must rise strictly and begin at enter={self.enter}")
        if self.leave is not None and layers[-1] >= self.leave:
            raise InputError(f"a write at layer {layers[-1]} falls after the tokens left at layer {self.leave}")
        if min(write.level for write in self.writes) < 0 or self.writes[0].level != 0:
            raise InputError(f"levels {[write.level for write in self.writes]} must begin at 0 and not be negative")
        if wrong := [write.mode for write in self.writes if write.mode not in get_args(Mode)]:
            raise InputError(f"write mode {wrong[0]!r}; choose one of {list(get_args(Mode))}")
        if self.writes[0].mode != "replace":
            raise InputError(f"the write at enter={self.enter} has nothing to add to; its mode is 'replace'")

    def _check_keeps(self) -> None:
        layers = [keep.layer for keep in self.keeps]
        if layers != sorted(set(layers)):
            raise InputError(f"keeps at layers {layers} must rise strictly")
        for keep in self.keeps:
            if keep.by not in get_args(Choice):
                raise InputError(f"keep by {keep.by!r}; choose one of {list(get_args(Choice))}")
            if isinstance(keep.fraction, bool) or not isinstance(keep.fraction, int | float):
                raise InputError(f"keep fraction {keep.fraction!r} is not a number in (0, 1]")
            if not 0 < keep.fraction <= 1:
                raise InputError(f"keep fraction {keep.fraction} at layer {keep.layer} must be in (0, 1]")
            if not self.is_live(keep.layer):
                raise InputError(f"a keep at layer {keep.layer}, but the tokens live in {self.enter}..{self._end()}")
            if keep.looks_at is not None and self.state(keep.looks_at) not in ("active", "readable"):
                raise InputError(
                    f"the keep at layer {keep.layer} goes by the attention in layer {keep.looks_at}, which does not "
                    f"see the tokens; keep by norm, even or random, or at a later layer"
                )
            if keep.by == "preview" and keep.layer == 0:
                raise InputError(
                    "a keep at layer 0 cannot go by preview: what lives there joins the embeddings, before any layer "
                    "can be asked; keep by norm, even or random, or at layer 1"
                )

    def _end(self) -> str:
        return "" if self.leave is None else str(self.leave - 1)

    @property
    def levels(self) -> int:
        """How many different outputs the connector must give."""
        return max(write.level for write in self.writes) + 1

    def is_live(self, layer: int) -> bool:
        """Whether the tokens are on board in this decoder layer, seen or parked."""
        return self.enter <= layer and (self.leave is None or layer < self.leave)

    def state(self, layer: int) -> State:
        """What the tokens are in this decoder layer."""
        if not self.is_live(layer):
            return "absent"
        return "readable" if layer in self.readable else "parked" if layer in self.parked else "active"

    def write_at(self, layer: int) -> Write | None:
        """What is written at the input of `layer`, or None."""
        return next((write for write in self.writes if write.layer == layer), None)

    def kept(self, layer: int, tokens: int, before: bool = False) -> int:
        """How many of the `tokens` of a slot are on board in `layer`; with `before`, ere any are dropped there."""
        if not self.is_live(layer):
            return 0
        for keep in self.keeps:
            tokens = keep.count(tokens) if keep.layer < layer + (not before) else tokens
        return tokens

    def cuts(self, layer: int) -> int:
        """How many keeps are behind the tokens in `layer`."""
        return sum(keep.layer <= layer for keep in self.keeps)

    def validate(self, num_layers: int, modality: str = "a modality") -> Self:
        """Check the schedule against an LM of `num_layers` layers.

        Raises:
            InputError: it names a layer that the LM does not have.
        """
        named = {"writes at": [write.layer for write in self.writes], "keeps at": [keep.layer for keep in self.keeps]}
        for what, layers in (named | {"reads in": self.readable, "parks in": self.parked}).items():
            if layers and max(layers) >= num_layers:
                raise InputError(
                    f"the schedule of {modality} {what} layer {max(layers)}, but the LM has layers "
                    f"0..{num_layers - 1}; choose a layer of at most {num_layers - 1}"
                )
        if self.leave is not None and self.leave > num_layers:
            raise InputError(
                f"the schedule of {modality} leaves at layer {self.leave}, but the LM has {num_layers} layers; "
                f"use leave=None to stay to the end"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form; `from_dict` is its inverse. What a schedule does not use is left out."""
        writes = [[w.layer, w.level] if w.mode == "replace" else [w.layer, w.level, w.mode] for w in self.writes]
        data: dict[str, Any] = {"name": self.name, "enter": self.enter, "leave": self.leave, "writes": writes}
        data |= {field: list(layers) for field in ("readable", "parked") if (layers := getattr(self, field))}
        if self.keeps:
            data["keeps"] = [[keep.layer, keep.fraction, keep.by] for keep in self.keeps]
        return data | ({} if self.reach == "causal" else {"reach": self.reach})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            InputError: unknown or missing keys, or values that make no schedule.
        """
        known = {"name", "enter", "leave", "writes", "readable", "parked", "keeps", "reach"}
        if unknown := set(data) - known:
            raise InputError(f"unknown schedule keys {sorted(unknown)}; the keys are {sorted(known)}")
        if "enter" not in data:
            raise InputError(f"a schedule must say where the tokens enter; its keys are {sorted(data)}")
        try:
            writes = tuple(Write(layer, level, *mode) for layer, level, *mode in data.get("writes", ()))
            keeps = tuple(Keep(layer, fraction, *by) for layer, fraction, *by in data.get("keeps", ()))
            readable, parked = tuple(data.get("readable", ())), tuple(data.get("parked", ()))
        except (TypeError, ValueError):
            raise InputError(
                f"writes are lists [layer, level, mode], keeps are lists [layer, fraction, by], readable and parked "
                f"are lists of layers; not {dict(data)}"
            ) from None
        rest = {"reach": data.get("reach", "causal"), "name": data.get("name", "custom")}
        return cls(data["enter"], data.get("leave"), writes, readable, parked, keeps, **rest)

    def draw(self, num_layers: int) -> str:
        """One character a layer: see `SIGNS`; a digit where that level is written, + where it is added, k for a keep.

        >>> Schedule(2, keeps=(Keep(4, 0.5),), parked=(5,)).draw(7)
        '..0#k_#'
        """
        return "".join(map(self._sign, range(num_layers)))

    def _sign(self, layer: int) -> str:
        if write := self.write_at(layer):
            return str(write.level % 10) if write.mode == "replace" else "+"
        return "k" if layer in (keep.layer for keep in self.keeps) else SIGNS[self.state(layer)]

    def __str__(self) -> str:
        """The drawing up to the last layer that is named, and how it goes on."""
        named = [write.layer for write in self.writes] + [keep.layer for keep in self.keeps]
        last = max([*named, *self.readable, *self.parked, self.leave or 0])
        return f"{self.name} {self.draw(last + 1)}{SIGNS[self.state(last + 1)]}.."
