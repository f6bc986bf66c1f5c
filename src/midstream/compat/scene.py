"""What the checks run on: one LM with one sense at a chosen entry layer, prompts that differ in shape, and an oracle.

The oracle knows nothing of the engine. It lets the plain LM run over the merged sequence, so that masks, positions and
biases are the LM's own, and overwrites the input of the entry layer with what must stand there.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert
from midstream.testing import tiny_encoder

TOKENS = 4
"""Tokens in a slot."""


@dataclass(frozen=True)
class Row:
    """One prompt: text ids, and the columns before which its slots stand."""

    ids: tuple[int, ...]
    slots: tuple[int, ...] = ()
    seed: int = 0


ROWS = (
    Row((11, 25, 38, 47, 52, 61, 79, 83, 94, 16, 23, 57), (3, 8), 1),
    Row((7, 45, 93, 21, 66, 35, 18, 72, 40), (0,), 2),
    Row((31, 62, 17, 88, 41, 29), (), 3),
)
"""Two slots, one at the very start, none; lengths that need padding and exceed the tiny sliding windows."""


def join(lm: PreTrainedModel, entry: int, seed: int = 0) -> MidstreamForCausalLM:
    """`lm` with the sense `image` that enters at layer `entry`.

    Raises:
        InputError: the engine refuses the LM.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MidstreamForCausalLM.from_parts(lm, image=Modality(tiny_encoder("vit"), "linear", deep_insert(entry)))
        for parameter in model.modalities["image"].parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3)
    return model


def collate(rows: tuple[Row, ...], side: str = "left", width: int | None = None) -> dict[str, Tensor]:
    """Model inputs for `rows`, padded on `side` to `width` columns (None: the longest row's)."""
    width = width or max(len(row.ids) for row in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    slots = torch.full((len(rows), 2), -1)
    features = torch.zeros(len(rows), 2, 1, TOKENS, 24)
    for index, row in enumerate(rows):
        start = width - len(row.ids) if side == "left" else 0
        ids[index, start : start + len(row.ids)] = torch.tensor(row.ids)
        mask[index, start : start + len(row.ids)] = 1
        for slot, column in enumerate(row.slots):
            slots[index, slot] = column + start
            generator = torch.Generator().manual_seed(10 * row.seed + slot)
            features[index, slot] = torch.randn(1, TOKENS, 24, generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "image_slots": slots, "image_features": features}


def last_changed(row: Row) -> Row:
    """The same prompt with another last token."""
    return replace(row, ids=(*row.ids[:-1], row.ids[-1] + 1))


@torch.no_grad()
def oracle(model: MidstreamForCausalLM, row: Row, entry: int) -> Tensor:
    """The logits of the text columns of one row, (T, vocabulary), without the engine."""
    lm, inputs = model.lm, collate((row,))
    places, text_places = _places(row)
    tokens = (
        model.modalities["image"]
        .tokens(
            {
                "slots": inputs["image_slots"][:, : len(row.slots)],
                "features": inputs["image_features"][:, : len(row.slots)],
            }
        )[:, :, 0]
        .flatten(1, 2)
    )
    text = lm.get_input_embeddings()(inputs["input_ids"])
    merged = text.new_zeros(1, len(places) + len(text_places), text.shape[-1])
    merged[:, text_places] = text
    if tokens.shape[-1] == merged.shape[-1]:  # what a layer reads of the embeddings once more (Zamba)
        merged[:, places] = tokens
    if entry == 0:
        return _plain(lm, merged).logits[0, text_places]
    below: dict[str, Any] = {}
    anatomy = model.engine.anatomy
    positions = {"position_ids": text_places[None] + anatomy.first_position} if anatomy.takes_positions else {}
    layers = anatomy.layers
    with _at(layers[0], read=below):
        _plain(lm, merged)
    placed = {} if positions else {"write": below["hidden"][:, text_places]}
    with _at(layers[0], **placed), _at(layers[entry], read=below):
        lm(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False, **positions)
    hidden = text.new_zeros(1, merged.shape[1], tokens.shape[-1])
    hidden[:, text_places], hidden[:, places] = below["hidden"], tokens
    with _at(layers[entry], write=hidden):
        return _plain(lm, merged).logits[0, text_places]


def _places(row: Row) -> tuple[Tensor, Tensor]:
    """Where tokens and text columns stand in the merged sequence."""
    of_tokens, of_text, at = [], [], 0
    for column in range(len(row.ids) + 1):
        for _ in range(row.slots.count(column) * TOKENS):
            of_tokens.append(at)
            at += 1
        of_text.append(at)
        at += 1
    return torch.tensor(of_tokens), torch.tensor(of_text[:-1])


def _plain(lm: PreTrainedModel, embeddings: Tensor) -> Any:
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)
    return lm(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)


class _at:  # noqa: N801 - reads as a preposition
    """While open: the input of `layer` is kept under "hidden" in `read`, or replaced by `write`."""

    def __init__(self, layer: nn.Module, read: dict[str, Any] | None = None, write: Tensor | None = None) -> None:
        self.layer, self.read, self.write = layer, read, write

    def __enter__(self) -> None:
        self.handle = self.layer.register_forward_pre_hook(self._hook, with_kwargs=True)

    def __exit__(self, *exception: object) -> None:
        self.handle.remove()

    def _hook(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.read is not None:
            self.read["hidden"] = args[0] if args else kwargs["hidden_states"]
        if self.write is None:
            return None
        if args:
            return (self.write, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": self.write}
