"""A trained model measured elsewhere than it was trained: its tokens enter at another layer, without retraining."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

from midstream.errors import InputError
from midstream.modality import LoadedModality
from midstream.modeling import MidstreamForCausalLM
from midstream.schedule import Schedule


@contextmanager
def entering_at(model: MidstreamForCausalLM, layer: int) -> Iterator[MidstreamForCausalLM]:
    """The model with the tokens of its media entering at `layer`, for the length of a `with` block.

    DeepInsert's "no retraining" setting (arXiv 2504.19327, section 4.2) is this with connectors trained at layer 0.

    Raises:
        InputError: the LM has no such layer, or a schedule does more than enter once.
    """
    config = deepcopy(model.config)
    for name, part in model.modalities.items():
        assert isinstance(part, LoadedModality)
        if part.encoder is None:
            continue
        before = model.engine.schedules[name]
        if before != Schedule(before.enter, before.leave, name=before.name):
            raise InputError(f"the schedule of {name} does more than enter once; its tokens cannot be moved")
        config.modalities[name]["schedule"] = replace(before, enter=layer, writes=()).to_dict()
    parts = {name: part for name, part in model.modalities.items() if isinstance(part, LoadedModality)}
    moved: MidstreamForCausalLM | None = None
    model.engine.detach()
    try:
        moved = MidstreamForCausalLM(config, model.lm, parts)
        yield moved
    finally:
        if moved is not None:
            moved.engine.detach()
        model.engine.attach()
