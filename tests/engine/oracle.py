"""A slow, obvious second implementation of what a schedule means, for Llama-shaped LMs and OPT.

One row at a time, no padding, no cache, no hooks, no masks of Transformers. All items, text and tokens, are in the
sequence in every layer; what a layer must not see is blocked in attention, and tokens are overwritten where they are
written. Nothing is spliced, so nothing can be spliced wrongly. Tokens that a layer only reads, or that are parked, go
through it like all others and are then put back as they were; dropped ones are blocked from there on.

                keys  t0 i0 i1 t1          keys  t0 i0 i1 t1
    below enter   t0   x                     t0   x              live
                  i0      x                  i0   x  x
                  i1         x               i1   x  x  x
                  t1   x        x            t1   x  x  x  x
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cases import Row
from midstream.modeling import MidstreamForCausalLM
from midstream.schedule import Schedule

LIKE_LLAMA = ("llama", "mistral", "qwen2", "qwen3")
SHAPES = (*LIKE_LLAMA, "opt")

WEIGHTS: list[Tensor] = []
"""The attention weights of the last layer that ran, (heads, W, W)."""

Allowed = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Item:
    """One place of the merged sequence: a text column, or token `index` of a slot of a sense."""

    sense: str | None
    column: int
    slot: int = 0
    index: int = 0


def text_logits(made: MidstreamForCausalLM, row: Row, allowed: Allowed | None = None) -> Tensor:
    """Logits of every text column of one row, (T, vocabulary).

    Args:
        made: the model whose weights are used; its engine is not.
        row: the prompt.
        allowed: replaces the mask of a layer, given the layer and the right mask; for published mistakes.
    """
    schedules = {name: Schedule.from_dict(part["schedule"]) for name, part in made.config.modalities.items()}
    tokens = {name: tokens_of(made, name, row) for name in schedules}
    items = merged(row, {name: [len(slot[0]) for slot in slots] for name, slots in tokens.items()}, list(schedules))
    config, layers = made.lm.config, range(made.lm.config.num_hidden_layers)
    dropped: set[int] = set()
    embedded = made.lm.get_input_embeddings()(torch.tensor(row.ids))
    nothing = torch.zeros(embedded.shape[1])
    hidden = torch.stack([embedded[item.column] if item.sense is None else nothing for item in items])
    step, head = (_opt_layer, _opt_head) if config.model_type == "opt" else (_llama_layer, _llama_head)
    if config.model_type == "opt":
        hidden = write(hidden, items, tokens, schedules, 0)
        live = [item.sense is None or schedules[item.sense].is_live(0) for item in items]
        places = positions(items, made.config.positions, live)
        hidden = hidden + made.lm.model.decoder.embed_positions.weight[places + 2]
    looked_at: Tensor | None = None

    def through(layer: int, hidden: Tensor, state: Sequence[str]) -> tuple[Tensor, Tensor]:
        seen = [state[i] in ("active", "readable") and i not in dropped for i in range(len(items))]
        mask = opened(causal(seen, window_of(config, layer)), items, schedules, seen)
        mask = mask if allowed is None else allowed(layer, mask)
        WEIGHTS.clear()
        after = step(made.lm, layer, hidden, positions(items, made.config.positions, seen), mask)
        return after, WEIGHTS[0].mean(0)[items.index(Item(None, row.asking))]

    for layer in layers:
        if layer or config.model_type != "opt":
            hidden = write(hidden, items, tokens, schedules, layer)
        state = ["active" if item.sense is None else schedules[item.sense].state(layer) for item in items]
        if is_previewed(schedules, layer):
            looked_at = through(layer, hidden, state)[1]
        dropped |= drops(hidden, items, schedules, layer, dropped, looked_at)
        before = hidden
        hidden, looked_at = through(layer, hidden, state)
        still = torch.tensor([is_still(s) for s in state])
        hidden = torch.where(still[:, None], before, hidden)
    text = torch.tensor([item.sense is None for item in items])
    return head(made.lm, hidden[text])


def merged(row: Row, lengths: Mapping[str, Sequence[int]], order: Sequence[str]) -> list[Item]:
    """The whole sequence: before each text column, the slots that stand there, senses in `order`."""
    items = []
    for column in range(len(row.ids)):
        for sense in order:
            columns = row.slots.get(sense, ()) if sense != "prompt" else (0,)
            for slot, place in enumerate(columns):
                if place == column:
                    items += [Item(sense, column, slot, index) for index in range(lengths[sense][slot])]
        items.append(Item(None, column))
    return items


def positions(items: Sequence[Item], rule: str, live: Sequence[bool]) -> Tensor:
    """The position id of every item in one layer."""
    if rule == "merged":
        return torch.arange(len(items))
    if rule == "compact":
        return torch.tensor([item.column for item in items])
    counted = torch.tensor(live).long().cumsum(0) - 1
    return counted.clamp(min=0)


def causal(live: Sequence[bool], window: int | None) -> Tensor:
    """Who reads whom, (W, W): what lives reads what lives, is not later, and is within the window of live places."""
    rank = torch.tensor(live).long().cumsum(0)
    allowed = torch.eye(len(live), dtype=torch.bool)
    for reader in range(len(live)):
        for read in range(reader):
            near = window is None or int(rank[reader] - rank[read]) < window
            allowed[reader, read] = live[reader] and live[read] and near
    return allowed


def opened(mask: Tensor, items: Sequence[Item], schedules: Mapping[str, Schedule], seen: Sequence[bool]) -> Tensor:
    """The mask with what tokens read beyond what stands before them."""
    mask = mask.clone()
    for reader, item in enumerate(items):
        reach = schedules[item.sense].reach if item.sense and seen[reader] else "causal"
        for read, other in enumerate(items):
            own = (item.sense, item.slot) == (other.sense, other.slot)
            if seen[read] and (reach == "all" or (reach == "slot" and own)):
                mask[reader, read] = True
    return mask


def write(
    hidden: Tensor, items: Sequence[Item], tokens: Mapping[str, Any], schedules: Mapping[str, Schedule], layer: int
) -> Tensor:
    """Put each sense's tokens in their places, or add them, if its schedule writes them at the input of `layer`."""
    hidden = hidden.clone()
    for place, item in enumerate(items):
        written = schedules[item.sense].write_at(layer) if item.sense else None
        if item.sense and written is not None:
            token = tokens[item.sense][item.slot][written.level][item.index]
            hidden[place] = token if written.mode == "replace" else hidden[place] + token
    return hidden


def is_still(state: str) -> bool:
    """Whether a layer leaves a token in this state as it is."""
    return state in ("readable", "parked")


def is_previewed(schedules: Mapping[str, Schedule], layer: int) -> bool:
    """Whether this layer's own attention decides what is dropped at its input; no case mixes that with another keep."""
    return any(keep.layer == layer and keep.by == "preview" for one in schedules.values() for keep in one.keeps)


def drops(
    hidden: Tensor,
    items: Sequence[Item],
    schedules: Mapping[str, Schedule],
    layer: int,
    gone: set[int],
    looked_at: Tensor | None,
) -> set[int]:
    """The places that are dropped at the input of `layer`."""
    dropped = set()
    for sense, schedule in schedules.items():
        keep = next((keep for keep in schedule.keeps if keep.layer == layer), None)
        for slot in {item.slot for item in items if item.sense == sense} if keep else ():
            places = [i for i, item in enumerate(items) if (item.sense, item.slot) == (sense, slot) and i not in gone]
            count = max(1, int(keep.fraction * len(places) + 1e-9))
            if keep.by == "even":
                stay = {places[int((i + 0.5) * len(places) / count)] for i in range(count)}
            else:
                scores = looked_at if keep.by in ("attention", "preview") else hidden.norm(dim=-1)
                stay = set(sorted(places, key=lambda i: -float(scores[i].detach()))[:count])
            dropped |= set(places) - stay
    return dropped


def tokens_of(made: MidstreamForCausalLM, name: str, row: Row) -> list[Tensor]:
    """For each slot what the connector gives, (V, K, D)."""
    modality = made.modalities[name]
    if modality.encoder is None:
        return [modality.connector(1)[0]]
    pictures = [row.picture(name, slot)[None] for slot in range(len(row.slots.get(name, ())))]
    return [modality.connector(modality.encoder(pixel_values=picture))[0] for picture in pictures]


def window_of(config: Any, layer: int) -> int | None:
    if getattr(config, "layer_types", None):
        return config.sliding_window if config.layer_types[layer] == "sliding_attention" else None
    return getattr(config, "sliding_window", None)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, scale: float) -> Tensor:
    """(W, heads, d) each -> (W, heads * d)."""
    groups = queries.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    scores = torch.einsum("qhd,khd->hqk", queries, keys) * scale
    weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
    WEIGHTS.append(weights)
    return torch.einsum("hqk,khd->qhd", weights, values).flatten(1)


def _rotate(states: Tensor, places: Tensor, theta: float) -> Tensor:
    half = states.shape[-1] // 2
    angles = places[:, None] * theta ** (-torch.arange(half) / half)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    first, second = states[..., :half], states[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _llama_layer(lm: Any, index: int, hidden: Tensor, places: Tensor, allowed: Tensor) -> Tensor:
    layer, width = lm.model.layers[index], lm.config.head_dim
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    project = {name: getattr(attention, f"{name}_proj")(normed).unflatten(-1, (-1, width)) for name in "qkv"}
    if lm.config.model_type == "qwen3":
        project["q"], project["k"] = attention.q_norm(project["q"]), attention.k_norm(project["k"])
    theta = lm.config.rope_parameters["rope_theta"]
    queries, keys = _rotate(project["q"], places, theta), _rotate(project["k"], places, theta)
    hidden = hidden + attention.o_proj(_attend(queries, keys, project["v"], allowed, width**-0.5))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _llama_head(lm: Any, hidden: Tensor) -> Tensor:
    return lm.lm_head(lm.model.norm(hidden))


def _opt_layer(lm: Any, index: int, hidden: Tensor, places: Tensor, allowed: Tensor) -> Tensor:
    layer, heads = lm.model.decoder.layers[index], lm.config.num_attention_heads
    attention, normed = layer.self_attn, layer.self_attn_layer_norm(hidden)
    queries, keys, values = (
        project(normed).unflatten(-1, (heads, -1)) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    hidden = hidden + attention.out_proj(_attend(queries, keys, values, allowed, queries.shape[-1] ** -0.5))
    return hidden + layer.fc2(layer.fc1(layer.final_layer_norm(hidden)).relu())


def _opt_head(lm: Any, hidden: Tensor) -> Tensor:
    return lm.lm_head(lm.model.decoder.final_layer_norm(hidden))
