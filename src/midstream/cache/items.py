"""Between batches and rows: computes what is constant in a batch, cuts it into items, joins items to batches again.

An item is one row as tensors without padding. Knows models and processors by their public methods, and no file.

    input_ids, labels   (T,)            text; all of it real
    text_states         (T, D)          the text at the input of the lowest entry layer
    image_slots         (S,)            the text column before which each picture stands
    image_features      (S, V, P, E)    what the encoder gives
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from midstream.engine.skipping import reached
from midstream.modeling import MidstreamForCausalLM

Item: TypeAlias = dict[str, Tensor]

STATES = "text_states"
FILL = {"input_ids": 0, "labels": -100, STATES: 0}
"""The columns of the text, and what fills them after a shorter row's end: any id, since it is masked."""

COLUMNS = 16
"""Training batches are padded to a multiple of this many text columns, cached or not.

PyTorch's attention on the CPU sums the keys that fill whole vector registers (16 floats with AVX-512) in one order and
those that are left over in another. In batches of such widths padding only adds zeros, in the same order, so a row's
hidden states do not depend on how long the batch is.
"""


def entry_layer(model: MidstreamForCausalLM) -> int:
    """The lowest layer at which anything joins the text."""
    return min(schedule.enter for schedule in model.engine.schedules.values())


@torch.no_grad()
def constants(batch: Mapping[str, Tensor], model: MidstreamForCausalLM, states: bool) -> dict[str, Tensor]:
    """A batch with everything that training does not change.

    Args:
        batch: of `MidstreamProcessor.training_batch`.
        model: encodes the media, and with `states` runs its lower layers.
        states: whether to add `text_states`, (B, T, D).

    Returns:
        The batch on the model's device; each modality's encoder inputs have become `{name}_features`,
        (B, S, V, P, E), zero in empty slots.
    """
    made = {key: value.to(model.device) for key, value in batch.items()}
    for name, part in model.modalities.items():
        slots_BS = made.get(f"{name}_slots")
        if part.encoder is None or slots_BS is None:
            continue
        prefix = f"{name}_"
        media = {key: made.pop(key) for key in list(made) if key.startswith(prefix) and key != f"{name}_slots"}
        features_NVPE = part.features(slots_BS, {key.removeprefix(prefix): value for key, value in media.items()})
        features = features_NVPE.new_zeros(*slots_BS.shape, *features_NVPE.shape[1:])
        features[slots_BS >= 0] = features_NVPE
        made[f"{name}_features"] = features
    if states:
        made[STATES] = reached(model.engine, entry_layer(model), lambda: model(**made))
    return made


def axis(key: str) -> str:
    """What the first axis of an item's tensor counts: text columns, or the slots of a modality."""
    return "text columns" if key in FILL else key.rpartition("_")[0]


def split(batch: Mapping[str, Tensor]) -> list[Item]:
    """One item per row: text cut to its own length, slots to those that are filled."""
    batch = {key: value.cpu() for key, value in batch.items()}
    items = []
    for index, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
        item = {}
        for key, value in batch.items():
            if key in FILL:
                item[key] = value[index, :length]
            elif key != "attention_mask" and (slots := int((batch[f"{axis(key)}_slots"][index] >= 0).sum())):
                item[key] = value[index, :slots]
        items.append(item)
    return items


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """Items to one batch, padded on the right to a multiple of `COLUMNS`. A modality that no row has is left out."""
    lengths = torch.tensor([len(item["input_ids"]) for item in items])
    width = -(-int(lengths.max()) // COLUMNS) * COLUMNS
    batch = {"attention_mask": (torch.arange(width) < lengths[:, None]).long()}
    for key in dict.fromkeys(key for item in items for key in item):
        like = next(item[key] for item in items if key in item)
        values = [item.get(key, like[:0]) for item in items]
        if key in FILL:
            batch[key] = like.new_full((len(items), width, *like.shape[1:]), FILL[key])
            for row, value in zip(batch[key], values, strict=True):
                row[: len(value)] = value
        else:
            fill = -1 if key.endswith("_slots") else 0
            batch[key] = pad_sequence(values, batch_first=True, padding_value=fill)
    return batch
