"""`retrofit`: a vision-language model, not touched, follows another schedule for a while.

The model encodes its media, merges them into its text and counts positions as ever. Where it calls its text model, the
merged sequence is split, the engine runs the text with the media as cargo, and the text's states go back to the merged
columns (zeros stand at media). So to the outside nothing has another length:

    vlm.generate / vlm.forward
    `- outer.forward          _Watch: notes input_ids, the 2-D mask, and whether media came
       `- stack.forward       _Follow: split, Engine.run, put together
          `- stack.forward    the text alone; the engine's hooks let the media join and leave
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.engine import Cargo, Engine, Memory
from midstream.engine.call import current
from midstream.engine.outer import Outer
from midstream.errors import InputError
from midstream.retrofitting.columns import Columns, columns_of, masks_made, reads_of
from midstream.retrofitting.counting import count_merged, in_force, merged_mask, positions_of_items
from midstream.retrofitting.parts import STACKED, Parts, parts_of, with_added
from midstream.schedule import Schedule

MEDIA = "media"
"""The one modality's name."""

MEDIA_INPUTS = ("pixel_values", "pixel_values_videos", "input_features", "mm_encoder_outputs")
"""With any of these the tokens of `Parts.ids` are media; without, they are words like others."""

TAKEN = ("input_ids", "inputs_embeds", "attention_mask", "position_ids", "past_key_values", "use_cache")
DROPPED = ("visual_pos_masks", STACKED)
"""Arguments of a stack that are dealt with here, and those that are not needed beside the engine."""

TYPES = ("token_type_ids", "mm_token_type_ids")
"""They come along to many stacks that do not read them."""


@contextmanager
def retrofit(vlm: PreTrainedModel, schedule: Schedule) -> Iterator[PreTrainedModel]:
    """Let `vlm` follow `schedule`, without touching its code or weights; afterwards it is what it was.

        with retrofit(vlm, fastv(2, 0.5)):
            vlm.generate(**inputs)

    Forward and `generate` take what they always took. Logits at media columns are those of a zero vector; those of the
    text are the schedule's. Caches filled inside belong to this schedule. Positions, and masks that let media or a
    prefix be read in both directions, are the model's own.

    Args:
        vlm: a Transformers model that merges media into its text (LLaVA and its kin, Qwen-VL, Gemma 3, Idefics, ...).
        schedule: of all its media; a slot is a run of columns with the same media token.

    Raises:
        InputError: the model cannot follow the schedule, or follows another one already; inside, inputs that cannot be
            split: no input_ids, a mask that is not 2-D, a prompt that ends with media.
    """
    parts, family = parts_of(vlm), type(vlm).__name__
    if isinstance(vars(parts.stack).get("forward"), _Follow):
        raise InputError(f"this {family} is retrofitted already; leave the first `with retrofit(...)` before the next")
    engine = Engine(parts.stack, {MEDIA: with_added(schedule, parts.added, family)})
    try:
        if engine.anatomy.stack is not parts.stack or not engine.anatomy.takes_positions:
            raise InputError(f"the text model of {family} is not a bare stack of layers that is told positions")
        with (
            in_force() as number,
            _shadowed(parts.outer, lambda original: _Watch(original)),
            _shadowed(parts.stack, lambda original: _Follow(original, parts, engine, number)),
        ):
            yield vlm
    finally:
        engine.detach()


@contextmanager
def _shadowed(module: nn.Module, shadow: Callable[[Callable[..., Any]], Any]) -> Iterator[None]:
    """Give one module a forward of its own for a while."""
    own = vars(module).get("forward")  # Accelerate's, for one
    module.forward = shadow(module.forward)
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the module around the stack was given."""

    input_ids: Tensor | None = None
    attention_mask: Any = None
    media: bool = False


_SEEN: ContextVar[_Seen] = ContextVar("midstream_retrofit_seen", default=_Seen())  # noqa: B039 - it is frozen


def _named(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name."""
    names = [name for name, one in signature.parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    return dict(zip(names, args, strict=False)) | kwargs


def _filled(given: Any) -> bool:
    return given is not None and not (isinstance(given, Tensor) and given.numel() == 0)


class _Watch:
    """Stands in for the forward of the module that merges media into the text; changes nothing."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original, self.signature = original, inspect.signature(original)
        update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = _named(self.signature, args, kwargs)
        media = any(_filled(given.get(name)) for name in MEDIA_INPUTS)
        token = _SEEN.set(_Seen(given.get("input_ids"), given.get("attention_mask"), media))
        try:
            return self.original(*args, **kwargs)
        finally:
            _SEEN.reset(token)


class _Follow:
    """Stands in for the forward of the text model: its sequence is split and the engine runs it."""

    def __init__(self, original: Callable[..., Any], parts: Parts, engine: Engine, number: int) -> None:
        self.original, self.parts, self.engine, self.number = original, parts, engine, number
        self.signature = inspect.signature(original)
        update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current(self.engine) is not None:  # the engine calls the stack again
            return self.original(*args, **kwargs)
        given = _named(self.signature, args, kwargs)
        seen, cache = _SEEN.get(), given.get("past_key_values")
        merged_BWD = given.get("inputs_embeds")
        media_BW = self._media(seen, merged_BWD)
        if merged_BWD is None or (media_BW is None and Memory.of(cache) is None):
            return self.original(*args, **kwargs)
        past = int(cache.get_seq_length()) if cache is not None else 0
        mask_BK = merged_mask(seen.attention_mask, merged_BWD, past)
        ids_BW = None if media_BW is None else seen.input_ids
        nowhere = torch.zeros_like(mask_BK[:, past:])
        columns = columns_of(nowhere if media_BW is None else media_BW, ids_BW, mask_BK[:, past:])
        output = self._run(given, columns, mask_BK, past)
        output.last_hidden_state = columns.merged(output.last_hidden_state)
        if output.past_key_values is not None:
            count_merged(output.past_key_values, past + merged_BWD.shape[1], self.number)
        return output

    def _media(self, seen: _Seen, merged_BWD: Tensor | None) -> Tensor | None:
        """Which columns hold media, or None when there are none."""
        if not seen.media or merged_BWD is None:
            return None
        if seen.input_ids is None:
            raise InputError("media came without input_ids, so it is not known where they stand; give input_ids")
        if seen.input_ids.shape[1] != merged_BWD.shape[1]:
            raise InputError(
                f"the model merged {seen.input_ids.shape[1]} columns of input_ids into {merged_BWD.shape[1]}; give one "
                f"media token for each feature, as the processor of a newer Transformers does"
            )
        ids = torch.tensor(self.parts.ids, device=seen.input_ids.device)
        media_BW = torch.isin(seen.input_ids, ids).to(merged_BWD.device)
        if not bool(media_BW.any()):
            raise InputError(f"media came, but input_ids hold none of the tokens {list(self.parts.ids)} for them")
        return media_BW

    def _run(self, given: dict[str, Any], columns: Columns, mask_BK: Tensor, past: int) -> Any:
        cache, engine, use_cache = given.get("past_key_values"), self.engine, given.get("use_cache")
        memory = Memory.of(cache)
        made = masks_made(given.get("attention_mask"), engine.anatomy.kinds)
        if memory is not None and made and columns.holds_media:
            raise InputError(
                "the model reads parts of the prompt in both directions by masks of its own, which are made for a "
                "cache without a schedule; give the whole prompt with an empty cache"
            )
        # on a filled cache the model's masks are for other columns than those that are there; new text reads causally
        reads = reads_of(made, columns, mask_BK[:, past:]) if memory is None else None
        dropped = (*DROPPED, *(name for name in TYPES if name not in self.signature.parameters))
        rest = {name: value for name, value in given.items() if name not in (*TAKEN, *dropped)}
        if unknown := sorted(name for name, value in rest.items() if isinstance(value, Tensor)):
            raise InputError(f"the text model also reads {unknown}, which retrofit cannot split into text and media")
        text_BTD, _ = columns.rows(given["inputs_embeds"])
        text_mask = mask_BK[:, past:].gather(1, columns.text_BT) & columns.present_BT
        past_mask = mask_BK[:, :past] if memory is None else memory.masks[()].to(text_mask.device)
        return engine.run(
            self.parts.stack,
            self._cargo(given, columns, past_mask.shape[1]),
            attention_mask=torch.cat([past_mask, text_mask], dim=1),
            past_key_values=cache,
            inputs_embeds=text_BTD,
            outer=Outer(positions_of_items(given.get("position_ids"), columns, past), columns.present_BT, reads),
            use_cache=getattr(self.parts.stack.config, "use_cache", True) if use_cache is None else use_cache,
            **rest,
        )

    def _cargo(self, given: dict[str, Any], columns: Columns, start: int) -> dict[str, Cargo]:
        if not columns.holds_media:
            return {}
        merged_BWD = given["inputs_embeds"]
        levels = [columns.rows(merged_BWD)[1]]
        for embeds_ND in given.get(STACKED) or ():
            level_BWD = torch.zeros_like(merged_BWD)
            level_BWD[columns.media_BW] = embeds_ND.to(merged_BWD)
            levels.append(columns.rows(level_BWD)[1])
        filled = columns.filled_BSK
        slots_BS = torch.where(columns.slots_BS < 0, -1, columns.slots_BS + start)
        return {MEDIA: Cargo(slots_BS, torch.stack(levels, dim=2), None if bool(filled.all()) else filled)}
