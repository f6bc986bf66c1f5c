"""Train from cache: what is constant in a row is computed once, and every epoch reads it back.

With a frozen encoder the features of a picture never change, and neither do the tokens of a text. Owns that store, in
memory, and its batches. Knows processors and models by their public methods only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from midstream.data.rows import Row

PADDING = {"attention_mask": 0, "labels": -100}
"""What fills the columns after a shorter row's end; slots are filled with -1, ids with any token (it is masked)."""


class CachedRows(Dataset[dict[str, Tensor]]):
    """Rows as tensors, media as encoder features.

    Args:
        rows: the rows to prepare.
        processor: a `MidstreamProcessor`.
        model: a `MidstreamForCausalLM`; only its encoders are used.
        batch_size: how many rows are encoded together. The features do not depend on it beyond rounding.
        progress: called with the number of rows done after every batch.

    Memory: about `V * P * E * 4` bytes per picture (64 patches of 128 features: 32 KB).
    """

    def __init__(
        self,
        rows: Sequence[Row],
        processor: Any,
        model: Any,
        batch_size: int = 64,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._items: list[dict[str, Tensor]] = []
        for start in range(0, len(rows), batch_size):
            batch = processor.training_batch([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
            self._items += _split(_with_features(dict(batch), model))
            if progress is not None:
                progress(len(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._items[index]


def _with_features(batch: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Replace each modality's encoder inputs by `{name}_features`, (B, S, V, P, E), zero in empty slots."""
    for name, part in model.modalities.items():
        slots_BS = batch.get(f"{name}_slots")
        if part.encoder is None or slots_BS is None:
            continue
        prefix = f"{name}_"
        media = {key: batch.pop(key) for key in list(batch) if key.startswith(prefix) and key != f"{name}_slots"}
        inputs = {key.removeprefix(prefix): value.to(model.device) for key, value in media.items()}
        features_NVPE = part.features(slots_BS.to(model.device), inputs).cpu()
        features = features_NVPE.new_zeros(*slots_BS.shape, *features_NVPE.shape[1:])
        features[slots_BS >= 0] = features_NVPE
        batch[f"{name}_features"] = features
    return batch


def _split(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """One dict per row, without the batch's padding: text to its own length, slots to those that are filled."""
    items = []
    for index, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
        item = {}
        for key, value in batch.items():
            if key in ("input_ids", *PADDING):
                item[key] = value[index, :length].clone()
            else:
                slots = batch[f"{key.rpartition('_')[0]}_slots"][index]
                item[key] = value[index, : int((slots >= 0).sum())].clone()
        items.append(item)
    return items


def collate(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rows of different lengths to one batch, padded on the right. A modality that no row has is left out."""
    batch = {}
    keys = dict.fromkeys(key for item in items for key in item)
    for key in keys:
        if key.endswith("_slots") or key in ("input_ids", *PADDING):
            fill = -1 if key.endswith("_slots") else PADDING.get(key, 0)
            empty = torch.zeros(0, dtype=torch.long)
            batch[key] = pad_sequence([item.get(key, empty) for item in items], batch_first=True, padding_value=fill)
        else:
            like = next(item[key] for item in items if key in item)
            values = [item.get(key, like[:0]) for item in items]
            batch[key] = pad_sequence(values, batch_first=True)
    return batch
