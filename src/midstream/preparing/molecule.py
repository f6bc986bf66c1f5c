"""Molecules as SMILES, by the encoder's own tokenizer, padded to one length."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from transformers import AutoTokenizer

from midstream.errors import InputError
from midstream.preparing.preparer import Preparer, notes

LENGTH = 64
"""Tokens of a molecule, its end marks included, where the user says nothing."""

POSITIONS_BEHIND_PAD = ("roberta", "xlm-roberta", "camembert", "esm", "mpnet")
"""Families that number positions from one behind the padding token's id, so that they read fewer than they have."""


class MoleculePreparer(Preparer):
    """SMILES strings to `input_ids` and `attention_mask` (N, length)."""

    medium = "molecule"
    SETTINGS = ("length",)
    PROCESSOR = (AutoTokenizer, "tokenizer")

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The tokenizer beside the encoder; `length` at most what the encoder has positions for."""
        processor = cls._load(source)
        if processor.pad_token is None:
            raise InputError(f"the tokenizer of {source!r} has no padding token; give its tokenizer files one")
        longest = min(processor.model_max_length, _positions(config) or LENGTH)
        length = settings.setdefault("length", min(LENGTH, longest))
        if not isinstance(length, int) or not 3 <= length <= longest:
            raise InputError(f"prepare.length is {length}; the encoder {source!r} reads 3 to {longest} tokens")
        return cls(processor, **settings)

    def load(self, item: Any) -> Any:
        """Canonical SMILES."""
        from midstream.media.molecules import load_molecule

        return load_molecule(item)

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """Tokens; what is too long is cut, and a note says so."""
        length = self.settings.get("length", LENGTH)
        for smiles in loaded:
            if (tokens := len(self.processor(smiles)["input_ids"])) > length:
                notes.warning("molecule %s has %d tokens and is cut to %d; set prepare.length", smiles, tokens, length)
        return self.processor(
            list(loaded), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )


def _positions(config: Any) -> int | None:
    """How many tokens the encoder has positions for; None where it does not say."""
    found: int | None = getattr(config, "max_position_embeddings", None)
    if found and config.model_type in POSITIONS_BEHIND_PAD:
        return found - (config.pad_token_id or 0) - 1
    return found
