"""How a recipe names a schedule: one class for each preset of `midstream.presets`, with the same arguments."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveInt

from midstream.recipe.node import Settings
from midstream.schedule import Choice, Reach

Fraction = Annotated[float, Field(gt=0, le=1)]


class PrependSchedule(Settings):
    """`midstream.presets.prepend`."""

    preset: Literal["prepend"]


class DeepInsertSchedule(Settings):
    """`midstream.presets.deep_insert`."""

    preset: Literal["deep_insert"]
    layer: NonNegativeInt


class WindowSchedule(Settings):
    """`midstream.presets.window`."""

    preset: Literal["window"]
    first: NonNegativeInt
    last: PositiveInt


class EpAlmSchedule(Settings):
    """`midstream.presets.ep_alm`."""

    preset: Literal["ep_alm"]
    first: NonNegativeInt
    last: NonNegativeInt
    levels: PositiveInt
    legacy: bool = False


class SoftPromptSchedule(Settings):
    """`midstream.presets.soft_prompt`."""

    preset: Literal["soft_prompt"]


class VtwSchedule(Settings):
    """`midstream.presets.vtw`."""

    preset: Literal["vtw"]
    last: PositiveInt


class DeepStackSchedule(Settings):
    """`midstream.presets.deepstack`."""

    preset: Literal["deepstack"]
    levels: PositiveInt
    first: NonNegativeInt = 0


class FastVSchedule(Settings):
    """`midstream.presets.fastv`."""

    preset: Literal["fastv"]
    layer: PositiveInt = 2
    fraction: Fraction = 0.5
    by: Choice = "attention"


class PyramidDropSchedule(Settings):
    """`midstream.presets.pyramid_drop`."""

    preset: Literal["pyramid_drop"]
    layers: tuple[PositiveInt, ...] = (8, 16, 24)
    fraction: Fraction = 0.5
    by: Choice = "preview"


class ShortVSchedule(Settings):
    """`midstream.presets.shortv`."""

    preset: Literal["shortv"]
    layers: tuple[NonNegativeInt, ...]


class VicaSchedule(Settings):
    """`midstream.presets.vica`."""

    preset: Literal["vica"]
    layers: tuple[NonNegativeInt, ...] = (0, 1, 7, 8, 9, 10, 11, 14)


class CustomSchedule(Settings):
    """`midstream.schedule.Schedule` itself, in the form of its `to_dict`."""

    preset: Literal["custom"]
    enter: NonNegativeInt
    leave: PositiveInt | None = None
    writes: tuple[tuple[Any, ...], ...] = ()
    readable: tuple[NonNegativeInt, ...] = ()
    parked: tuple[NonNegativeInt, ...] = ()
    keeps: tuple[tuple[Any, ...], ...] = ()
    reach: Reach = "causal"


ScheduleSettings: TypeAlias = Annotated[
    PrependSchedule
    | DeepInsertSchedule
    | WindowSchedule
    | EpAlmSchedule
    | SoftPromptSchedule
    | VtwSchedule
    | DeepStackSchedule
    | FastVSchedule
    | PyramidDropSchedule
    | ShortVSchedule
    | VicaSchedule
    | CustomSchedule,
    Field(discriminator="preset"),
]
