"""An oracle for every schedule: the plain LM runs once for each layer, over just what that layer sees.

At each layer the hidden states of the layer before stand in its input, and tokens that it only reads are put back as
they were. No cache, no mask but the LM's own, no engine: that only says where the layers are and which tokens it kept.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from midstream.compat.scene import TOKENS, Row, collate
from midstream.modeling import MidstreamForCausalLM

ON_BOARD = ("active", "readable")


@torch.no_grad()
def layerwise(model: MidstreamForCausalLM, row: Row, kept: Mapping[int, Tensor]) -> Tensor:
    """The logits of the text columns of one row, (T, vocabulary).

    Args:
        kept: how many keeps are behind the tokens -> which of them are left, (tokens,).
    """
    layers, schedule = model.engine.anatomy.layers, model.engine.schedules["image"]
    of_tokens, of_text = places(row)
    tokens, merged = _tokens(model, row), embedded(model, row)
    hidden = _run(model, merged, torch.arange(merged.shape[1]), read=0)
    for layer in range(len(layers)):
        if layer and layer == schedule.enter:
            hidden[:, of_tokens] = tokens
        left = kept.get(schedule.cuts(layer), torch.ones(len(of_tokens), dtype=torch.bool))[: len(of_tokens)]
        state = schedule.state(layer)
        seen = torch.cat([of_text, of_tokens[left] if state in ON_BOARD else of_tokens[:0]]).sort().values
        if layer == len(layers) - 1:
            return _run(model, merged, seen, layer, hidden[:, seen])[0, torch.isin(seen, of_text)]
        after = _run(model, merged, seen, layer, hidden[:, seen], read=layer + 1)
        changed = seen if state == "active" else of_text
        hidden[:, changed] = after[:, torch.isin(seen, changed)]
    raise AssertionError("an LM has layers")


@torch.no_grad()
def attention(model: MidstreamForCausalLM, row: Row, layer: int) -> Tensor | None:
    """What the LM shows of the attention in a layer when all tokens live from layer 0 on: mean over heads, (W, W).

    None when it shows none, or cannot be told to use plain attention (Falcon shows weights of a mask it misreads).
    """
    lm: Any = model.lm
    implementation, merged = lm.config._attn_implementation, embedded(model, row)
    try:
        lm.set_attn_implementation("eager")
        if model.engine.anatomy.config._attn_implementation != "eager":
            return None
        output = lm(**_inputs(model, merged, torch.arange(merged.shape[1])), output_attentions=True)
    finally:
        lm.set_attn_implementation(implementation)
    shown = getattr(output, "attentions", None) or ()
    if len(shown) != len(model.engine.anatomy.layers) or shown[layer] is None or shown[layer].dim() != 4:
        return None
    return shown[layer][0].mean(0)


def places(row: Row) -> tuple[Tensor, Tensor]:
    """Where tokens and text columns stand in the merged sequence."""
    of_tokens, of_text, at = list[int](), list[int](), 0
    for column in range(len(row.ids)):
        width = row.slots.count(column) * TOKENS
        of_tokens += range(at, at + width)
        of_text.append(at + width)
        at += width + 1
    return torch.tensor(of_tokens, dtype=torch.long), torch.tensor(of_text)


def embedded(model: MidstreamForCausalLM, row: Row) -> Tensor:
    """The merged sequence at the embeddings, (1, W, D); zeros where tokens enter later."""
    of_tokens, of_text = places(row)
    text = model.lm.get_input_embeddings()(collate((row,))["input_ids"])
    merged = text.new_zeros(1, len(of_tokens) + len(of_text), text.shape[-1])
    merged[:, of_text] = text
    if model.engine.schedules["image"].is_live(0):
        merged[:, of_tokens] = _tokens(model, row)
    return merged


def _tokens(model: MidstreamForCausalLM, row: Row) -> Tensor:
    inputs, slots = collate((row,)), len(row.slots)
    given = {"slots": inputs["image_slots"][:, :slots], "features": inputs["image_features"][:, :slots]}
    modality: Any = model.modalities["image"]
    return modality.tokens(given)[:, :, 0].flatten(1, 2)


def _inputs(model: MidstreamForCausalLM, merged: Tensor, seen: Tensor) -> dict[str, Any]:
    anatomy, embeddings = model.engine.anatomy, merged[:, seen]
    told = {"position_ids": seen[None] + anatomy.first_position} if anatomy.takes_positions else {}
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)
    return told | {"inputs_embeds": embeddings, "attention_mask": mask, "use_cache": False}


def _run(
    model: MidstreamForCausalLM,
    merged: Tensor,
    seen: Tensor,
    write: int | None = None,
    hidden: Tensor | None = None,
    read: int | None = None,
) -> Tensor:
    """The plain LM over the places `seen`: `hidden` in the input of layer `write`; gives that of `read`, or logits."""
    layers, name = model.engine.anatomy.layers, model.engine.anatomy.arguments[0][0]
    found: list[Tensor] = []

    def overwrite(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {name: hidden})

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args[0] if args else kwargs[name]).clone())

    handles = [] if write is None else [layers[write].register_forward_pre_hook(overwrite, with_kwargs=True)]
    handles += [] if read is None else [layers[read].register_forward_pre_hook(look, with_kwargs=True)]
    try:
        output = model.lm(**_inputs(model, merged, seen))
    finally:
        for handle in handles:
            handle.remove()
    return output.logits if read is None else found[0]
