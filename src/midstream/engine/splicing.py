"""What happens to the hidden states where the set of tokens changes: joining, rewriting, dropping, leaving."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from midstream.engine.call import Call
from midstream.engine.masks import rows_of
from midstream.engine.placement import Group, gather_rows
from midstream.engine.reading import attention_weights, keys_and_values
from midstream.schedule import Keep

if TYPE_CHECKING:
    from midstream.engine.engine import Engine


def splice(engine: "Engine", call: Call, layer: int, hidden_BWD: Tensor, before: Group) -> Tensor:
    """The hidden states on board at `layer` ere any are dropped: what left is gone, what is new is in place."""
    whole = engine.undropped[layer]
    writes = {
        name: write
        for name, _ in whole
        if name in call.cargo and (write := engine.schedules[name].write_at(layer)) is not None
    }
    replaced = [name for name, write in writes.items() if write.mode == "replace"]
    fresh = [call.cargo[name].level(writes[name].level).to(hidden_BWD.dtype) for name in replaced]
    sources = call.items.sources(call.layout(before), call.layout(whole), replaced)
    hidden_BWD = gather_rows(torch.cat([hidden_BWD, *fresh], dim=1), sources)
    for name, write in writes.items():
        if write.mode == "add":
            hidden_BWD = hidden_BWD + _in_place(call, name, write.level, whole).to(hidden_BWD.dtype)
    return hidden_BWD


def drop(engine: "Engine", call: Call, layer: int, hidden_BWD: Tensor) -> Tensor:
    """The hidden states that stay on board at `layer`."""
    whole, after = engine.undropped[layer], engine.groups[layer]
    if whole == after:
        return hidden_BWD
    for name, _ in after:
        keep = engine.keep_at(name, layer)
        if name in call.cargo and keep is not None and ("drop", name, layer) not in call:
            call.note(("drop", name, layer), _drop(engine, call, name, keep, hidden_BWD, whole))
    return gather_rows(hidden_BWD, call.items.sources(call.layout(whole), call.layout(after), ()))


def _in_place(call: Call, name: str, level: int, group: Group) -> Tensor:
    """The tokens of one level where they stand in the sequence of `group`, and zero elsewhere."""
    tokens = call.cargo[name].level(level)
    first, last = call.items.ranges[name]
    items = call.layout(group).items_BW
    index = torch.where((items >= first) & (items < last), items - first + 1, 0)
    return gather_rows(torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1), index)


def _drop(engine: "Engine", call: Call, name: str, keep: Keep, hidden_BWD: Tensor, group: Group) -> bool:
    """Choose the tokens of one modality that stay from here on."""
    load = call.cargo[name]
    schedule = engine.schedules[name]
    cut, left = schedule.cuts(keep.layer), load.lengths()
    for earlier in schedule.keeps[: cut - 1]:
        left = _stay(earlier, left)
    scores_BN = _scores(call, name, keep, hidden_BWD, group, cut, left)
    call.items.drop(name, cut, scores_BN, load.slots_BS.shape[1], _stay(keep, left))
    return True


def _stay(keep: Keep, tokens: int | Tensor) -> int | Tensor:
    """How many tokens stay of so many in each slot: one number for all, or (B, S, 1)."""
    if isinstance(tokens, int):
        return keep.count(tokens)
    counts = [keep.count(int(count)) for count in tokens.flatten().tolist()]
    return torch.tensor(counts, device=tokens.device).view_as(tokens)


def _scores(
    call: Call, name: str, keep: Keep, hidden_BWD: Tensor, group: Group, cut: int, left: int | Tensor
) -> Tensor:
    """The higher, the sooner a token is kept, (B, S * K)."""
    first, last = call.items.ranges[name]
    places_BN = call.layout(group).places_BU[:, first:last].clamp(min=0)
    if keep.looks_at is not None:
        return call.noted(("asked", name, keep.layer))
    if keep.by == "norm":
        return hidden_BWD.float().norm(dim=-1).gather(1, places_BN)
    if keep.by == "random":
        return torch.rand(places_BN.shape, device=places_BN.device)
    slots = call.cargo[name].slots_BS.shape[1]
    there = call.items.kept.get((name, cut - 1), torch.ones_like(places_BN, dtype=torch.bool))
    rank = there.unflatten(1, (slots, -1)).cumsum(2) - 1
    wanted = _stay(keep, left)
    steps = torch.arange(wanted if isinstance(wanted, int) else int(wanted.max()), device=rank.device)
    chosen = ((steps + 0.5) * left / wanted).long().where(steps < wanted, -1)
    return (rank[..., None] == chosen[..., None, :]).any(-1).flatten(1).float()


def ask(engine: "Engine", call: Call, layer: int, module: nn.Module, bound: dict[str, Any], of: int) -> None:
    """Note how much the asking text token attends to each token in this layer, for the keeps at layer `of`.

    That is the next layer, or this one before anything is dropped.
    """
    names = [name for name, kept_at in engine.asks[layer] if kept_at == of and name in call.cargo]
    if not names or ("asked", names[0], of) in call:
        return
    group, on_board = engine.seen[layer], engine.groups[layer]
    if of == layer:
        group, on_board = engine.previewed[layer], engine.undropped[layer]
    seen, argument = call.layout(group), engine.anatomy.arguments[layer][0]
    hidden = gather_rows(bound[argument], call.items.sources(call.layout(on_board), seen, ()))
    place_B1 = seen.places_BU.gather(1, call.asking()[:, None])
    with torch.no_grad():
        keys, values = keys_and_values(module, engine.stand_in(call, layer, bound, hidden, seen, group), seen.width)
        masks = engine.anatomy.masks(layer, hidden, seen.valid_BW, None, call.positions(group))  # of this call alone
        row = rows_of(masks.pop("attention_mask"), place_B1, seen.width, seen.width)
        one = engine.stand_in(call, layer, bound | masks, gather_rows(hidden, place_B1), seen, group, place_B1)
        weights_BW = attention_weights(module, one, keys, values, row)
    for name in names:
        first, last = call.items.ranges[name]
        scores = weights_BW.gather(1, seen.places_BU[:, first:last].clamp(min=0))
        call.note(("asked", name, of), scores)
