"""Models trained apart, on one language model, joined into one that has all their senses. No training, no new weights.

    both = stack(["pocket", "pocket-audio"])          # eyes and ears
    both.save_pretrained("runs/both")                 # a few MB: the connectors of both

Nothing is added to a text that has no media, and a modality's tokens do not depend on the others, so each one's answers
and those to text alone stay what they were, bit for bit.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from midstream.checkpoint import load_weights
from midstream.configuration import MidstreamConfig, load_config, resolve
from midstream.errors import InputError
from midstream.modality import SOFT_PROMPT
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor


def stack(
    sources: Sequence[str | Path], lm: str | Path | PreTrainedModel | None = None, **options: Any
) -> MidstreamForCausalLM:
    """One model with the modalities of several.

    Args:
        sources: folders, hub ids or shipped names, each saved by `save_pretrained`.
        lm: where the language model is now, when not where the configs say.
        options: passed on to the LM's `from_pretrained`.

    Raises:
        InputError: two have a modality of one name, other language models or position rules, or learned vectors that
            would stand in front of the other's texts as well.
    """
    config = stacked_config(sources)
    tensors: dict[str, Any] = {}
    for source in sources:
        tensors |= load_weights(str(resolve(source)))
    names = " and ".join(map(str, sources))
    return MidstreamForCausalLM.assemble(config, tensors, names, lm, **options)


def stacked_config(sources: Sequence[str | Path]) -> MidstreamConfig:
    """The config of the joined model.

    Raises:
        InputError: as `stack`.
    """
    if len(sources) < 2:
        raise InputError(f"there is nothing to stack: {len(sources)} model was given; name two or more")
    first, *others = (load_config(source) for source in sources)
    joined = deepcopy(first)
    joined.modalities = dict(first.modalities or {})
    for source, config in zip(sources[1:], others, strict=True):
        _check_alike(str(sources[0]), first, str(source), config)
        for name, part in (config.modalities or {}).items():
            if name in joined.modalities:
                raise InputError(
                    f"{source} and a model before it both have a modality called {name}; train one of them under "
                    f"another name (its key in the recipe's `modalities`)"
                )
            joined.modalities[name] = part
    for source, config in zip(sources, (first, *others), strict=True):
        if config.adapters:
            raise InputError(
                f"{source} has trained adapters in the language model, so the others' answers would change; train "
                f"them together instead (several `modalities` in one recipe)"
            )
        for name, part in (config.modalities or {}).items():
            if part["encoder"] == SOFT_PROMPT:
                raise InputError(
                    f"{source} has learned vectors ({name}) in front of every text, so the others' answers would "
                    f"change; train them together instead (several `modalities` in one recipe)"
                )
    return joined


def _check_alike(first: str, config: MidstreamConfig, second: str, other: MidstreamConfig) -> None:
    ours, theirs = config.lm_fingerprint or {}, other.lm_fingerprint or {}
    if ours != theirs:
        raise InputError(
            f"{first} was trained on {config.lm!r} and {second} on {other.lm!r}, which are not the same language "
            f"model; stack models of one"
        )
    if config.positions != other.positions:
        raise InputError(
            f"{first} has {config.positions} positions and {second} {other.positions}; train one of them again"
        )


def stacked_processor(sources: Sequence[str | Path]) -> MidstreamProcessor:
    """The processor of the joined model."""
    first, *others = (MidstreamProcessor.from_pretrained(source) for source in sources)
    joined = dict(first.processors)
    for other in others:
        joined |= other.processors
    return MidstreamProcessor(first.tokenizer, joined)
