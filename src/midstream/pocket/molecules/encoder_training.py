"""Pretraining of the pocket molecule encoder: SMILES and class ids only, never language.

Owns the heads that are thrown away afterwards and what is measured. In every batch a quarter of the molecules have some
tokens masked, to be filled in; the others are whole and are tagged (`midstream.pocket.molecules.tags`)::

    masked tokens  --head-->  which token stands here          what SMILES are like
    atoms          --head-->  functional group, kind of ring   so that a token knows its surroundings
    <s>            --head-->  every fact about the molecule    so that <s> knows the whole molecule
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from midstream.pocket.molecules import tokenizer
from midstream.pocket.molecules.tags import ATOM_WIDTHS, IGNORED, WHOLE_WIDTHS, tagged
from midstream.pocket.molecules.world import sample
from midstream.pocket.sizes import WIDTH, heads_of
from midstream.pocket.world import Bucket

BATCH: Final = 96
UNIT: Final = "molecules"
"""What a batch holds, as figures call it."""
MASKED: Final = 0.15  # of the tokens of a masked molecule
_PAD: Final = tokenizer.VOCABULARY.index(tokenizer.PAD)
_MASK: Final = tokenizer.VOCABULARY.index(tokenizer.MASK)
_FIRST_ORDINARY: Final = _MASK + 1


class Tags(NamedTuple):
    """Token ids ``[B, 48]``; what masked ones were ``[B, 48]``; tags of atoms ``[B, 48, 2]`` and of wholes ``[B, 20]``.

    The first quarter of the molecules is masked and has no tags, the others are whole; `IGNORED` elsewhere.
    """

    ids: torch.Tensor
    masked: torch.Tensor
    atoms: torch.Tensor
    whole: torch.Tensor


def tagged_batch(bucket: Bucket, index: int, seed: int, size: int = BATCH) -> Tags:
    """Batch ``index`` of a split; a pure function of its arguments. Held-out scaffolds are included (see `world`)."""
    numbers = range(index * size, (index + 1) * size)
    parts = [tagged(sample(bucket, number, seed)) for number in numbers]
    ids, atoms, whole = (np.stack(column) for column in zip(*parts, strict=True))
    hidden = np.random.default_rng((seed, index)).random(ids.shape) < MASKED
    hidden &= ids >= _FIRST_ORDINARY
    quarter = size // 4
    hidden[quarter:] = False
    masked = np.where(hidden, ids, IGNORED)
    atoms[:quarter] = IGNORED
    whole[:quarter] = IGNORED
    return Tags(*map(torch.from_numpy, (np.where(hidden, _MASK, ids), masked, atoms, whole)))


class Tagger(nn.Module):
    """The encoder with the three heads that only its pretraining needs."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        from transformers import DistilBertConfig, DistilBertModel

        config = DistilBertConfig(  # BERT without the pooler that nobody reads
            vocab_size=len(tokenizer.VOCABULARY),
            max_position_embeddings=tokenizer.LENGTH,
            dim=width,
            n_layers=5,
            n_heads=heads_of(width),
            hidden_dim=4 * width,
            dropout=0.0,
            attention_dropout=0.0,
            pad_token_id=_PAD,
        )
        self.encoder = DistilBertModel(config)
        self.encoder.set_attn_implementation("eager")
        self.word_head = nn.Linear(config.dim, config.vocab_size)
        self.atom_head = nn.Linear(config.dim, sum(ATOM_WIDTHS))
        self.whole_head = nn.Linear(config.dim, sum(WHOLE_WIDTHS))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of tokens ``[B, 48, 47]``, of atoms ``[B, 48, 13]`` and of wholes ``[B, 74]``."""
        tokens_BTD = self.encoder(ids, attention_mask=(ids != _PAD).long()).last_hidden_state
        return self.word_head(tokens_BTD), self.atom_head(tokens_BTD), self.whole_head(tokens_BTD[:, 0])


def _class_loss(logits: torch.Tensor, wanted: torch.Tensor, widths: tuple[int, ...]) -> torch.Tensor:
    total = logits.new_zeros(())
    for part, target in zip(logits.float().split(widths, -1), wanted.unbind(-1), strict=True):
        total = total + functional.cross_entropy(part.flatten(0, -2), target.flatten(), ignore_index=IGNORED)
    return total


def loss_of(
    model: Tagger, ids: torch.Tensor, masked: torch.Tensor, atoms: torch.Tensor, whole: torch.Tensor
) -> torch.Tensor:
    """What a batch costs: masked modelling, tags of atoms and tags of wholes, together."""
    words, atom_logits, whole_logits = model(ids)
    hidden = functional.cross_entropy(words.float().flatten(0, 1), masked.flatten(), ignore_index=IGNORED)
    tagged = _class_loss(atom_logits, atoms, ATOM_WIDTHS) + 0.3 * _class_loss(whole_logits, whole, WHOLE_WIDTHS)
    return hidden + tagged


@torch.no_grad()
def tagging_accuracy(model: Tagger, bucket: Bucket = "test", batches: int = 8, seed: int = 0) -> dict[str, float]:
    """Share right: masked tokens, atoms (both tags), facts, molecules with every fact right, and the hardest facts."""
    hits: dict[str, list[torch.Tensor]] = {name: [] for name in ("masked", "atom", "group_atom", "fact", "molecule")}
    hits |= {"weight": [], "polarity": []}
    for index in range(batches):
        batch = tagged_batch(bucket, index, seed)
        words, atoms, whole = (part.cpu() for part in model(batch.ids.to(next(model.parameters()).device)))
        hits["masked"].append((words.argmax(-1) == batch.masked)[batch.masked != IGNORED])
        named = torch.stack([part.argmax(-1) for part in atoms.split(ATOM_WIDTHS, -1)], -1)
        right = (named == batch.atoms).all(-1)
        hits["atom"].append(right[batch.atoms[..., 0] != IGNORED])
        hits["group_atom"].append(right[batch.atoms[..., 0] > 0])
        facts = torch.stack([part.argmax(-1) for part in whole.split(WHOLE_WIDTHS, -1)], -1) == batch.whole
        facts = facts[batch.whole[:, 0] != IGNORED]
        hits["fact"].append(facts.flatten())
        hits["molecule"].append(facts.all(-1))
        hits["weight"].append(facts[:, -2])
        hits["polarity"].append(facts[:, -1])
    return {name: round(torch.cat(parts).float().mean().item(), 4) for name, parts in hits.items()}


def save(model: Tagger, folder: Path) -> None:
    """Write the encoder and its tokenizer as an ordinary Hugging Face folder."""
    model.encoder.save_pretrained(folder)
    tokenizer.build().save_pretrained(folder)
