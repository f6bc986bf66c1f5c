"""Schedules side by side: each one's ledger against entry at 0 and against text alone, as plain data.

Owns what is compared with what; the arithmetic is the ledger's, the words are the command line's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from midstream.cost.costs import Cost
from midstream.cost.ledger import Work, ledger
from midstream.cost.parts import Part, read_part
from midstream.cost.shapes import LMShape
from midstream.cost.sources import Sense, Source, find, find_config
from midstream.cost.spelling import spell
from midstream.errors import InputError
from midstream.presets import prepend
from midstream.schedule import Schedule

ENTRY_0 = "entry at 0"
TEXT_ONLY = "text only"
OWN = "its own"
QUANTITIES = ("prefill", "decode", "train", "kv_bytes")
LEARNED = "soft_prompt"

IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Given:
    """Features that stand ready, where no encoder is named: how many of one slot, and how wide."""

    tokens: int = 576
    width: int = 1024

    def __post_init__(self) -> None:
        for name in ("tokens", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")


def compare(
    shape: LMShape,
    senses: Mapping[str, Sense],
    schedules: Mapping[str, Mapping[str, Schedule]],
    work: Work,
    given: Given | None = None,
    slots: int = 1,
) -> list[dict[str, Any]]:
    """The costs of each of `schedules`, and of entry at 0 and text alone beside them.

    Args:
        shape: the LM's.
        senses: its modalities.
        schedules: what is compared: label -> modality name -> schedule, for every modality.
        given: features of modalities that have no encoder.
        slots: of a row, for each modality that reads media.

    Returns:
        One row for entry at 0, one for each of `schedules`, one for text alone; plain data.

    Raises:
        InputError: a schedule does not fit the LM or its features.
    """
    rows: list[tuple[str, Mapping[str, Schedule]]] = [
        (ENTRY_0, entry_at_0(senses)),
        *schedules.items(),
        (TEXT_ONLY, {}),
    ]
    costs = []
    for _, routing in rows:
        parts = {name: part_of(senses[name], schedule, shape, given, slots) for name, schedule in routing.items()}
        costs.append((ledger(shape, routing, parts, work), parts))
    first, last = costs[0][0], costs[-1][0]
    depth = len(shape.layers)
    return [
        {
            "schedule": label,
            "drawing": {name: schedule.draw(depth) for name, schedule in routing.items()},
            "tokens": {name: part.slots * part.tokens for name, part in parts.items()},
            **_figures(cost),
            "against_entry_0": {name: _ratio(cost, first, name) for name in QUANTITIES},
            "against_text_only": {name: _ratio(cost, last, name) for name in QUANTITIES},
            "layers": [asdict(layer) for layer in cost.layers],
        }
        for (label, routing), (cost, parts) in zip(rows, costs, strict=True)
    ]


def entry_at_0(senses: Mapping[str, Sense]) -> dict[str, Schedule]:
    """The same modalities, all concatenated with the prompt."""
    return {name: sense.schedule if _is_learned(sense) else prepend() for name, sense in senses.items()}


def with_schedule(senses: Mapping[str, Sense], schedule: Schedule) -> dict[str, Schedule]:
    """`schedule` for each modality that reads media; learned vectors stay where they are."""
    return {name: sense.schedule if _is_learned(sense) else schedule for name, sense in senses.items()}


def part_of(sense: Sense, schedule: Schedule, shape: LMShape, given: Given | None = None, slots: int = 1) -> Part:
    """What one modality costs under `schedule`.

    Raises:
        InputError: the schedule writes more levels than the features have.
    """
    given = given or Given()
    width = shape.embedding_width if schedule.enter == 0 else shape.width
    features = sense.features
    if schedule.levels > len(features.layers):
        if len(features.layers) > 1:
            raise InputError(
                f"{schedule.name} writes {schedule.levels} levels, but the features have {len(features.layers)}; "
                "name as many layers in features.layers"
            )
        features = replace(features, layers=tuple(range(-schedule.levels, 0)))
    stand_in = (schedule.levels, given.tokens, given.width)
    part = read_part(sense.connector, width, sense.encoder, features, stand_in, slots)
    if part.levels < schedule.levels:
        raise InputError(
            f"{schedule.name} writes {schedule.levels} levels, but a {sense.connector['kind']} connector gives "
            f"{part.levels}; use a linear or mlp connector"
        )
    return part


def _is_learned(sense: Sense) -> bool:
    return sense.connector.get("kind") == LEARNED


def _figures(cost: Cost) -> dict[str, Any]:
    names = ("prefill", "decode", "train", "forward", "activation_gradients", "weight_gradients")
    more = ("connector", "connector_backward", "encoder", "kv_bytes", "saved_bytes", "parameter_bytes")
    last = ("optimiser_bytes", "lm_parameters", "encoder_parameters", "connector_parameters")
    return {name: getattr(cost, name) for name in (*names, *more, *last)}


def _ratio(cost: Cost, other: Cost, name: str) -> float:
    return getattr(cost, name) / getattr(other, name)


def chosen(
    name: str, schedules: Sequence[str] | None, connector: str = "linear", encoder: str | None = None
) -> tuple[Source, dict[str, Sense], dict[str, dict[str, Schedule]]]:
    """What a command line asks for: the source called `name`, its senses, and the schedules to compare by their label.

    A plain LM gets one sense, `image`, and without `schedules` a quarter, half and three quarters of its depth; a
    trained model's or recipe's own schedules come first.

    Raises:
        InputError: something of these names is not known.
    """
    source = find(name)
    depth = source.lm.get_text_config(decoder=True).num_hidden_layers
    senses = dict(source.senses)
    if senses and encoder:
        raise InputError(f"{name} has encoders of its own; leave --encoder {encoder} out")
    compared = {OWN: {name: sense.schedule for name, sense in senses.items()}} if senses else {}
    if not senses:
        config = find_config(encoder, "encoder") if encoder else None
        senses = {IMAGE: Sense({"kind": connector}, prepend(), config)}
    shares = [f"deep_insert:{share}" for share in ("L/4", "L/2", "3L/4")]
    for text in schedules or ([] if compared else shares):
        compared[text] = with_schedule(senses, spell(text, depth))
    return source, senses, compared
