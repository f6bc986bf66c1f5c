"""What a cache was made from, as plain facts; two caches of equal facts hold the same numbers.

Owns the facts and the sentence that names what differs. Knows no file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from midstream import __version__
from midstream.cache.items import COLUMNS, constants, entry_layer, split
from midstream.checkpoint import fingerprint
from midstream.data.identity import identity, spread
from midstream.data.rows import Row
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor

Kind: TypeAlias = Literal["features", "states"]
Origin: TypeAlias = dict[str, str | int]

LIBRARIES = ("torch", "transformers")


def origin(
    kind: Kind,
    model: MidstreamForCausalLM,
    processor: MidstreamProcessor,
    rows: Sequence[Row],
    stored_as: torch.dtype | None,
) -> tuple[Origin, int]:
    """The facts of a cache, and how many bytes a row of it takes (the mean of a few rows).

    Args:
        kind: `features` (of the encoders), or `states` (also of the text, at the lowest entry layer).
        stored_as: the type on disk; None for the one that is computed.

    Raises:
        InputError: the rows or the processor give something else each time they are asked.
    """
    sample = spread(rows)
    batch = processor.training_batch(sample, COLUMNS)
    if _digest(batch) != _digest(processor.training_batch(spread(rows), COLUMNS)):
        raise InputError(
            "the data or the processor give something else each time (augmentation), and a cache would repeat the "
            "first draw for ever; train with --cache none, or switch the augmentation off"
        )
    made = constants(batch, model, kind == "states")
    facts: Origin = {
        "cache of": kind,
        "data": f"{len(rows)} rows, {identity(rows)}",
        "processor": _digest(batch),
        "stored type": str(stored_as or "as computed").removeprefix("torch."),
    }
    for name, part in model.modalities.items():
        if part.encoder is not None:
            facts[f"{name} encoder"] = _model(part.encoder.model)
            facts[f"{name} features"] = json.dumps(part.encoder.features.to_dict(), sort_keys=True)
    if kind == "states":
        facts["language model"] = _model(model.lm)
        facts["entry layer"] = entry_layer(model)
        facts["positions"] = model.config.positions
        if model.config.positions == "merged":  # only then do the tokens move the text that follows them
            facts |= _tokens(model, made)
    facts |= {"midstream": __version__} | {name: version(name) for name in LIBRARIES}
    size = sum(_stored(value, stored_as) for item in split(made) for value in item.values())
    return facts, -(-size // len(sample))


def digest(facts: Origin) -> str:
    """A short name for the facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def difference(before: Mapping[str, Any], now: Origin) -> str | None:
    """What differs, in words: `made with entry layer 4, this run has entry layer 2`; None when nothing does."""
    changed = [key for key in now | dict(before) if before.get(key) != now.get(key)]
    if not changed:
        return None
    first = changed[0]
    others = f" ({', '.join(changed[1:])} also differ)" if len(changed) > 1 else ""
    return f"made with {first} {before.get(first, 'unknown')}, this run has {now.get(first, 'none')}{others}"


def _tokens(model: MidstreamForCausalLM, made: Mapping[str, Tensor]) -> Origin:
    """How many tokens stand in each slot."""
    counts = {}
    for name, part in model.modalities.items():
        if part.encoder is not None and f"{name}_features" in made:
            given = {"slots": made[f"{name}_slots"], "features": made[f"{name}_features"]}
            counts[f"{name} tokens per slot"] = part.tokens(given).shape[3]
    return counts


def _model(module: Any) -> str:
    facts = fingerprint(module)
    sketch = hashlib.sha256(json.dumps(facts["sketch"], sort_keys=True).encode()).hexdigest()[:12]
    kernel = getattr(module.config, "_attn_implementation", None)
    dtype = str(module.dtype).removeprefix("torch.")
    return f"{facts['architecture']} of {facts['parameters']:,} parameters, weights {sketch}, {dtype}, {kernel}"


def _digest(batch: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for key, value in sorted(batch.items()):
        found.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:12]


def _stored(value: Tensor, stored_as: torch.dtype | None) -> int:
    floating = stored_as is not None and value.is_floating_point()
    return value.numel() * (stored_as.itemsize if floating and stored_as else value.element_size())
