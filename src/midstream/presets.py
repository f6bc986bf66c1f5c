"""The published ways of feeding a modality to a language model, as schedules. A new routing is a new value, never code.

      layer        0  1  2  3  4  5  6  7      (L = 8)
prepend()          0  #  #  #  #  #  #  #      LLaVA, LiMBeR
deep_insert(4)     .  .  .  .  0  #  #  #      DeepInsert "DI-4"
window(2, 5)       .  .  0  #  #  .  .  .      active in [2, 5)
ep_alm(4, 7, 2)    .  .  .  .  0  0  1  1      one token, replaced by the next [CLS] level
vtw(4)             0  #  #  #  .  .  .  .      all leave at layer 4
deepstack(4)       0  +  +  +  #  #  #  #      further levels are added
fastv(2, 0.5)      0  #  k  #  #  #  #  #      half of them stay from layer 2 on
shortv(3, 5, 6)    0  #  #  o  #  o  o  #      read, not changed
vica(0, 1, 6)      0  o  _  _  _  _  o  .      never changed, read in a few layers, unseen in the others
"""

from collections.abc import Iterable, Sequence
from typing import Any

from midstream.errors import InputError
from midstream.schedule import Choice, Keep, Reach, Schedule, Write


def prepend() -> Schedule:
    """All tokens in all layers, as LLaVA (arXiv 2304.08485) and LiMBeR (arXiv 2209.15162) do."""
    return Schedule(0, name="prepend")


def deep_insert(layer: int) -> Schedule:
    """Tokens join at the input of `layer` and stay: DeepInsert's DI-k (arXiv 2504.19327)."""
    return Schedule(layer, name="deep_insert")


def window(first: int, last: int) -> Schedule:
    """Tokens live in layers first..last-1 only (HiDrop's window without its pruning; VTW when first=0)."""
    return Schedule(first, last, name="window")


def ep_alm(first: int, last: int, levels: int, legacy: bool = False) -> Schedule:
    """eP-ALM (arXiv 2303.11403, section 3): one token, rewritten at each layer first..last by the encoder's last [CLS].

    The `levels` [CLS] tokens, shallowest first, are spread evenly over the layers; each is written at
    `(last - first + 1) / levels` consecutive layers. For OPT with 32 layers the paper uses `ep_alm(19, 30, 6)`.

    Args:
        legacy: the mask of the published code, whose token reads all text, later words included, and so hands them to
            earlier ones one layer on: for comparison only. It cannot be used with a cache.

    Raises:
        InputError: more levels than layers to write them at.
    """
    span = last - first + 1
    if not 1 <= levels <= span:
        raise InputError(
            f"ep_alm({first}, {last}) has {span} layers; it can hold 1..{max(span, 1)} levels, not {levels}"
        )
    writes = tuple(Write(first + offset, offset * levels // span) for offset in range(span))
    return Schedule(first, None, writes, reach="all" if legacy else "causal", name="ep_alm")


def soft_prompt() -> Schedule:
    """Learned vectors in front of the text in all layers (prompt tuning, arXiv 2104.08691)."""
    return Schedule(0, name="soft_prompt")


def vtw(last: int) -> Schedule:
    """Visual tokens withdrawal (arXiv 2405.05803): all tokens leave at the input of layer `last`."""
    return Schedule(0, last, name="vtw")


def deepstack(levels: int, first: int = 0) -> Schedule:
    """DeepStack (arXiv 2406.04334) as in Qwen3-VL: level 0 enters at `first`, each further one is added a layer later.

    Qwen3-VL adds its levels behind layers 0, 1, 2, which is at the input of layers 1, 2, 3: `deepstack(4)`.

    Raises:
        InputError: fewer than one level.
    """
    if levels < 1:
        raise InputError(f"deepstack has {levels} levels; it needs at least 1")
    added = tuple(Write(first + level, level, "add") for level in range(1, levels))
    return Schedule(first, writes=(Write(first), *added), name="deepstack")


def fastv(layer: int = 2, fraction: float = 0.5, by: Choice = "attention") -> Schedule:
    """FastV (arXiv 2403.06764): from `layer` on only the `fraction` that the last text token attends to most stays."""
    return Schedule(0, keeps=(Keep(layer, fraction, by),), name="fastv")


def pyramid_drop(layers: tuple[int, ...] = (8, 16, 24), fraction: float = 0.5, by: Choice = "preview") -> Schedule:
    """PyramidDrop (arXiv 2410.17247): at each of `layers` the `fraction` of what is left stays.

    The published code counts positions anew after each drop, which is the model's `positions="shifted"`.
    """
    return Schedule(0, keeps=tuple(Keep(layer, fraction, by) for layer in layers), name="pyramid_drop")


def shortv(layers: tuple[int, ...]) -> Schedule:
    """ShortV (arXiv 2504.00502): in `layers` the tokens are read and not changed."""
    return Schedule(0, readable=tuple(layers), name="shortv")


def vica(layers: tuple[int, ...] = (0, 1, 7, 8, 9, 10, 11, 14)) -> Schedule:
    """ViCA: the tokens never change; text reads them in `layers` and does not see them in between.

    Raises:
        InputError: no layers.
    """
    if not layers:
        raise InputError("vica needs at least one layer that reads the tokens")
    first, last = min(layers), max(layers)
    parked = tuple(layer for layer in range(first, last) if layer not in layers)
    return Schedule(first, last + 1, readable=tuple(layers), parked=parked, name="vica")


def custom(
    enter: int,
    leave: int | None = None,
    writes: Iterable[Sequence[Any]] = (),
    readable: Iterable[int] = (),
    parked: Iterable[int] = (),
    keeps: Iterable[Sequence[Any]] = (),
    reach: Reach = "causal",
) -> Schedule:
    """Any schedule, in the plain form of `to_dict`: writes are [layer, level, mode], keeps [layer, fraction, by]."""
    return Schedule.from_dict(
        {"enter": enter, "leave": leave, "writes": list(writes), "reach": reach}
        | {"readable": list(readable), "parked": list(parked), "keeps": list(keeps)}
    )


PRESETS = {
    "prepend": prepend,
    "deep_insert": deep_insert,
    "window": window,
    "ep_alm": ep_alm,
    "soft_prompt": soft_prompt,
    "vtw": vtw,
    "deepstack": deepstack,
    "fastv": fastv,
    "pyramid_drop": pyramid_drop,
    "shortv": shortv,
    "vica": vica,
    "custom": custom,
}


def preset(name: str, **arguments: Any) -> Schedule:
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
