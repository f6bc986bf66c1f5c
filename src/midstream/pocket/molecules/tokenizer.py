"""The pocket SMILES tokenizer: one token an atom, bond, bracket or ring number; a fixed vocabulary, nothing is learnt.

``<s>`` in front, ``</s>`` behind. Marks of stereochemistry are left out (the pocket world has none): ``[C@@H]`` reads
as ``C``. An atom that is not in the vocabulary is ``<unk>``.
"""

from __future__ import annotations

from typing import Any, Final

from midstream.pocket.molecules.world import TOKENS

LENGTH: Final = 48
"""Tokens of a molecule, both end marks included."""

PAD, UNKNOWN, START, END, MASK = "<pad>", "<unk>", "<s>", "</s>", "<mask>"
ATOM_TOKENS: Final = (
    "C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "c", "n", "o", "s", "[nH]", "[O-]", "[NH3+]", "[NH2+]",
    "[NH+]", "[N+]", "[n+]", "[nH+]", "[N-]", "[S-]", "[n-]", "[Si]", "[Se]", "[H]",
)  # fmt: skip
VOCABULARY: Final = (
    *(PAD, UNKNOWN, START, END, MASK),
    *ATOM_TOKENS,
    *("(", ")", "=", "#", "-", *map(str, range(1, 10)), "%10", "%11", "%12"),
)
_STEREO: Final = ((r"\[C@@?H?\]", "C"), (r"\[S@@?\]", "S"), (r"\[N@@?H?\+\]", "[NH+]"), (r"[/\\]", ""))


def build() -> Any:
    """The tokenizer as a ``PreTrainedTokenizerFast``, ready to be saved beside an encoder."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: number for number, token in enumerate(VOCABULARY)}
    raw = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    raw.normalizer = normalizers.Sequence([normalizers.Replace(Regex(old), new) for old, new in _STEREO])
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(TOKENS.pattern), behavior="isolated")
    raw.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        cls_token=START,
        eos_token=END,
        sep_token=END,
        mask_token=MASK,
        model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
    )
