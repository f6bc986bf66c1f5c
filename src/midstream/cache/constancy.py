"""Whether what a cache would keep is constant: refuses, with the reason, what training changes. Knows no file."""

from typing import Any

from torch import nn

from midstream.cache.items import entry_layer
from midstream.cache.origin import Kind
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM


def check_constant(rows: Any, model: MidstreamForCausalLM, kind: Kind) -> None:
    """Refuse what changes from step to step, or cannot be found again.

    Raises:
        InputError: it says what changes, and what can be kept instead.
    """
    if not hasattr(rows, "__len__"):
        raise InputError(
            "the data are a stream: their rows have no number to be found by in the next epoch; "
            "train with --cache none, or save the rows to disk first"
        )
    if not len(rows):
        raise InputError("there is nothing to cache: the data have no rows")
    for name, part in model.modalities.items():
        if part.encoder is not None and _trained(part.encoder):
            raise InputError(f"the {name} encoder is trained, so its features change with every step; use --cache none")
    if kind == "features":
        return
    layer = entry_layer(model)
    if layer == 0:
        name = next(name for name, schedule in model.engine.schedules.items() if schedule.enter == 0)
        what = "learned vectors" if model.modalities[name].encoder is None else "tokens"
        raise InputError(
            f"the {what} of {name} enter at layer 0, so no layer runs on the text alone and there are no states to "
            f"keep; use --cache features, or a schedule that enters later"
        )
    below = {"the embedding": model.engine.anatomy.embedding}
    below |= {f"layer {number}": model.engine.anatomy.layers[number] for number in range(layer)}
    for where, module in below.items():
        if trained := _trained(module):
            raise InputError(
                f"{trained} in {where} is trained, so the text's states at the entry layer {layer} change with every "
                f"step; use --cache features, or train nothing below layer {layer}"
            )


def _trained(module: nn.Module) -> str | None:
    return next((name for name, parameter in module.named_parameters() if parameter.requires_grad), None)
