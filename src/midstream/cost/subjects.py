"""What is measured: models of true shape with random weights, and their prefill, decode step and training step.

Time does not depend on the values of weights. One set of weights serves all schedules: each has modules of its own
around the same tensors, so that no engine's hooks stand in another's way.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache, PreTrainedConfig, PreTrainedModel

from midstream.cost.comparison import LEARNED, Given
from midstream.cost.measure import Run
from midstream.cost.parts import example_media
from midstream.cost.sources import Sense
from midstream.encoders import FeatureSpec
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.schedule import Schedule
from midstream.testing import tiny_encoder

LEARNING_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Bench:
    """What is run, on what.

    Args:
        batch: rows.
        text: text tokens of a row.
        slots: of a row, for each modality that reads media.
        device: "cpu" or "cuda".
        dtype: of weights and activations.

    Raises:
        InputError: a count below 1, or no such device.
    """

    batch: int = 1
    text: int = 64
    slots: int = 1
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        for name in ("batch", "text", "slots"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"device {self.device!r} is neither cpu nor cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("device is cuda, but PyTorch sees no CUDA device here; use --device cpu")


def random_lm(config: PreTrainedConfig, bench: Bench) -> PreTrainedModel:
    """A causal LM of this shape with random weights."""
    with torch.device(bench.device):
        return AutoModelForCausalLM.from_config(config, dtype=bench.dtype).eval().requires_grad_(False)


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with modules of its own around the same tensors."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return deepcopy(model, shared)


def joined(
    lm: PreTrainedModel,
    senses: Mapping[str, Sense],
    schedules: Mapping[str, Schedule],
    bench: Bench,
    given: Given | None = None,
) -> tuple[MidstreamForCausalLM, dict[str, Tensor]]:
    """A model that follows `schedules`, and one batch of inputs for it.

    Args:
        lm: its weights are shared, its modules are not touched.
        senses: the modalities; one without an encoder reads features of `given`'s size.
    """
    given = given or Given()
    modalities: dict[str, Any] = {}
    inputs: dict[str, Tensor] = {}
    for name, schedule in schedules.items():
        sense = senses[name]
        if sense.connector.get("kind") == LEARNED:
            modalities[name] = Modality(LEARNED, sense.connector, schedule)
            continue
        features, encoder = sense.features, None
        if schedule.levels > len(features.layers) or sense.encoder is None:
            features = FeatureSpec(tuple(range(-schedule.levels, 0)), features.tokens, features.norm)
        if sense.encoder is None:
            encoder = _stand_in(given, schedule.levels)
            shape = (bench.batch, bench.slots, schedule.levels, given.tokens, given.width)
            inputs[f"{name}_features"] = torch.randn(shape, device=bench.device, dtype=bench.dtype)
        else:
            with torch.device(bench.device):
                encoder = AutoModel.from_config(sense.encoder, dtype=bench.dtype).eval()
            medium = example_media(encoder, bench.device, bench.dtype, sense.connector.get("times"))
            key = f"{name}_{encoder.main_input_name}"
            inputs[key] = medium[:, None].expand(bench.batch, bench.slots, *medium.shape[1:]).contiguous()
        inputs[f"{name}_slots"] = torch.zeros(bench.batch, bench.slots, dtype=torch.long, device=bench.device)
        modalities[name] = Modality(encoder, sense.connector, schedule, features)
    model = MidstreamForCausalLM.from_parts(twin(lm), **modalities)
    nn.Module.to(model, bench.device)
    for modality in model.modalities.values():
        modality.connector.to(bench.dtype)
    return model, _text(model, bench) | inputs


def prefill(model: Any, inputs: Mapping[str, Any]) -> Run:
    """From inputs to the first token, with the cache that the next one needs."""

    @torch.no_grad()
    def run() -> Any:
        output = model(**inputs, past_key_values=_cache(model), use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].argmax(-1)

    return run


def decode(model: Any, inputs: Mapping[str, Any]) -> Run:
    """One further token; each run reads one more column of the cache than the one before."""
    with torch.no_grad():
        cache = model(**inputs, past_key_values=_cache(model), use_cache=True, logits_to_keep=1).past_key_values
    ids = inputs["input_ids"]
    state = {"mask": inputs["attention_mask"]}

    @torch.no_grad()
    def run() -> Any:
        state["mask"] = torch.cat([state["mask"], state["mask"][:, -1:]], dim=1)
        output = model(input_ids=ids[:, -1:], attention_mask=state["mask"], past_key_values=cache, use_cache=True)
        return output.logits[:, -1].argmax(-1)

    return run


def training_step(model: MidstreamForCausalLM, inputs: Mapping[str, Any]) -> Run:
    """Loss, gradients and AdamW's step on the connectors."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    labels = inputs["input_ids"]
    model.train()

    def run() -> None:
        model(**inputs, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return run


def plain(lm: PreTrainedModel, bench: Bench) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """The language model by itself, and a batch of text."""
    return twin(lm), _text(lm, bench)


def weight_bytes(modules: Sequence[nn.Module]) -> int:
    """Bytes of all weights; those that modules share count once."""
    tensors = {id(tensor): tensor for module in modules for tensor in module.parameters()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _text(model: Any, bench: Bench) -> dict[str, Tensor]:
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    ids = torch.randint(3, vocabulary, (bench.batch, bench.text), device=bench.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _cache(model: Any) -> DynamicCache:
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def _stand_in(given: Given, levels: int) -> PreTrainedModel:
    """An encoder that never runs: features of its width are given."""
    return tiny_encoder(
        "vit", hidden_size=given.width, num_hidden_layers=levels, num_attention_heads=1, intermediate_size=1
    )
