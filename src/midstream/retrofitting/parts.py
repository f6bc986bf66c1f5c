"""Finds in a vision-language model what `retrofit` needs, and refuses what it cannot follow. Changes nothing."""

import inspect
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from midstream.errors import InputError
from midstream.schedule import Schedule, Write

MEDIA_IDS = ("image_token_id", "video_token_id", "audio_token_id")
"""What configs call the token that stands for one media token each."""

STACKED = "deepstack_visual_embeds"
"""What a stack is given that adds further levels to its media behind its first layers (Qwen3-VL)."""


CROSSED = "cross_attention_states"
"""What a stack is given that reads media beside its text (Llama 3.2 Vision)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a vision-language model.

    Args:
        outer: the module that merges media into the text and calls the stack.
        stack: the text model, without a head.
        ids: the tokens that stand for media.
        added: how many levels it adds behind its first layers.
    """

    outer: nn.Module
    stack: PreTrainedModel
    ids: tuple[int, ...]
    added: int


def parts_of(vlm: PreTrainedModel) -> Parts:
    """Find the parts.

    Raises:
        InputError: this is no model that merges media into its text.
    """
    family = type(vlm).__name__
    ids = tuple(value for name in MEDIA_IDS if isinstance(value := getattr(vlm.config, name, None), int))
    if not ids:
        raise InputError(
            f"{family} has none of {list(MEDIA_IDS)} in its config, so it merges no media into its text; "
            f"to give a text model media use MidstreamForCausalLM"
        )
    stack = vlm.get_decoder()
    outers = [module for module in vlm.modules() if any(child is stack for child in module.children())]
    if stack is vlm or not isinstance(stack, PreTrainedModel) or not outers:
        raise InputError(f"{family} keeps its text model where retrofit cannot find it (get_decoder)")
    if CROSSED in inspect.signature(stack.forward).parameters:
        raise InputError(f"{family} reads its media by cross-attention, so there are no tokens of them in its layers")
    return Parts(outers[0], stack, ids, _added(vlm, stack))


def _added(vlm: PreTrainedModel, stack: PreTrainedModel) -> int:
    if STACKED not in inspect.signature(stack.forward).parameters:
        return 0
    vision: Any = getattr(vlm.config, "vision_config", None)
    levels = getattr(vision, "deepstack_visual_indexes", None)
    if levels is None:
        raise InputError(f"{type(vlm).__name__} adds visual levels, but its config does not say how many")
    return len(levels)


def with_added(schedule: Schedule, added: int, family: str) -> Schedule:
    """The schedule with the levels that the model itself adds behind its layers 0..added-1.

    A schedule that says what becomes of each level (`deepstack(added + 1, first)`) is taken as it is.

    Raises:
        InputError: the schedule speaks of levels that the model does not have, or the tokens are not there when the
            model adds to them.
    """
    if schedule.levels == added + 1:
        return schedule
    if schedule.levels > 1:
        raise InputError(
            f"the schedule {schedule.name} writes {schedule.levels} levels, but {family} has {added + 1} of them"
        )
    written = {write.layer for write in schedule.writes[1:]}
    if schedule.enter or not all(schedule.is_live(level) and level not in written for level in range(1, added + 1)):
        raise InputError(
            f"{family} adds visual levels to its tokens at the input of layers 1..{added}, which the schedule "
            f"{schedule} contradicts; let the tokens live in layers 0..{added}, or say where each level goes "
            f"with deepstack({added + 1}, first=...)"
        )
    writes = (*schedule.writes, *(Write(level, level, "add") for level in range(1, added + 1)))
    return replace(schedule, writes=tuple(sorted(writes, key=lambda write: write.layer)))
