"""Frozen unimodal encoders: raw media tensors in, features out. Knows nothing of the LM.

Any Hugging Face model with hidden states serves: ViT, DINOv2, the vision towers of CLIP and SigLIP, ...

Shapes: N media items, V levels, P features per item, E encoder width.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from midstream.errors import InputError

TOWERS = ("vision_model", "audio_model")
"""Attributes under which two-tower models keep the encoder that is wanted here."""

FINAL_NORMS = ("layernorm", "post_layernorm", "final_layer_norm", "layer_norm", "norm", "ln_post")
"""Names of the norm after the last block, most specific first."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Which features of an encoder are used.

    Args:
        layers: indices into the encoder's `hidden_states` (0 the embedding output, -1 the last block), one level each.
        tokens: "patches", "cls" (the one leading token) or "all".
        norm: apply the encoder's final norm to every level, as eP-ALM does. Without it, level -1 is still the
            encoder's own `last_hidden_state`, norm included where it has one.
    """

    layers: tuple[int, ...] = (-1,)
    tokens: str = "patches"
    norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.tokens not in ("patches", "cls", "all"):
            raise InputError(f"features.tokens is {self.tokens!r}; choose patches, cls or all")
        if not self.layers:
            raise InputError("features.layers is empty; name at least one encoder layer, for example [-1]")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able form."""
        return asdict(self) | {"layers": list(self.layers)}

    @classmethod
    def make(cls, value: "FeatureSpec | Mapping[str, Any] | None") -> "FeatureSpec":
        """From a spec, a mapping of its fields, or None for the defaults.

        Raises:
            InputError: unknown fields.
        """
        if isinstance(value, FeatureSpec):
            return value
        try:
            return cls(**(value or {}))
        except TypeError as error:
            raise InputError(f"features: {str(error).split('__init__() ')[-1]}") from None


class FrozenEncoder(nn.Module):
    """A pretrained encoder that never changes: no gradients, always in eval mode.

    Args:
        model: a Hugging Face model with hidden states; a two-tower model gives its non-text tower.
        features: which layers and tokens come out.

    Raises:
        InputError: the model has no layer or no [CLS] token as `features` asks for.
    """

    def __init__(self, model: PreTrainedModel, features: FeatureSpec) -> None:
        super().__init__()
        self.model = _tower(model).requires_grad_(False).eval()
        self.features = features
        self.width: int = self.model.config.hidden_size
        blocks = self.model.config.num_hidden_layers
        for layer in features.layers:
            if not -blocks - 1 <= layer <= blocks:
                raise InputError(
                    f"features.layers names {layer}, but {type(self.model).__name__} has hidden states "
                    f"{-blocks - 1}..{blocks}"
                )
        self._final_norm = _final_norm(self.model) if features.norm else None
        self.train(False)

    @property
    def input_name(self) -> str:
        """The tensor the encoder reads, e.g. `pixel_values`."""
        return self.model.main_input_name

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Stay in eval mode: dropout in a frozen part is noise."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, **media: Tensor) -> Tensor:
        """Encode N media items.

        Args:
            media: the encoder's own inputs, N first, e.g. `pixel_values` (N, C, H, W).

        Returns:
            (N, V, P, E): one level for each of `features.layers`.
        """
        media = {
            key: value.to(self.model.dtype) if value.is_floating_point() else value for key, value in media.items()
        }
        depth = self.model.config.num_hidden_layers
        is_last = [layer in (-1, depth) for layer in self.features.layers]
        normed_inside: list[bool] = []
        watch = None
        if self._final_norm is not None:
            watch = self._final_norm.register_forward_hook(
                lambda module, inputs, output: normed_inside.append(output.dim() == 3)
            )
        try:
            output = self.model(**media, output_hidden_states=not all(is_last), return_dict=True)
        finally:
            if watch is not None:
                watch.remove()
        levels = []
        for layer, last in zip(self.features.layers, is_last, strict=True):
            level_NSE = output.last_hidden_state if last else output.hidden_states[layer]
            if self._final_norm is not None and not (last and any(normed_inside)):
                level_NSE = self._final_norm(level_NSE)
            levels.append(self._select(level_NSE, media))
        return torch.stack(levels, dim=1)

    def _select(self, level_NSE: Tensor, media: Mapping[str, Tensor]) -> Tensor:
        """Keep patches, [CLS], or all of the S tokens of one level."""
        if self.features.tokens == "all":
            return level_NSE
        leading = level_NSE.shape[1] - _patch_count(self.model, media, level_NSE.shape[1])
        if self.features.tokens == "patches":
            return level_NSE[:, leading:]
        if leading == 0:
            raise InputError(f"{type(self.model).__name__} has no [CLS] token; set features.tokens to patches or all")
        return level_NSE[:, :1]


def load_encoder(source: str | Path | PreTrainedModel, features: FeatureSpec, **options: Any) -> FrozenEncoder:
    """Load and freeze an encoder from an id, a local folder, or a module that is loaded already.

    Raises:
        InputError: the source cannot be loaded (only safetensors weights are).
    """
    if isinstance(source, nn.Module):
        return FrozenEncoder(source, features)
    try:
        model = AutoModel.from_pretrained(str(source), use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"encoder {str(source)!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    return FrozenEncoder(model, features)


def _tower(model: Any) -> Any:
    """The encoder inside a model that has more; DINOv2's `encoder`, without its embeddings, is not one."""
    for name in (*TOWERS, *(("encoder",) if model.config.is_encoder_decoder else ())):
        tower = getattr(model, name, None)
        if isinstance(tower, PreTrainedModel):
            return tower
    return model


def _final_norm(model: nn.Module) -> nn.Module:
    for depth in (0, 1):  # the shallowest: SigLIP's pooling head has a norm of its own
        found = {name.rpartition(".")[2]: child for name, child in model.named_modules() if name.count(".") == depth}
        for name in FINAL_NORMS:
            if name in found:
                return found[name]
    raise InputError(f"{type(model).__name__} has no final norm that is known; set features.norm to false")


def _patch_count(model: Any, media: Mapping[str, Tensor], sequence: int) -> int:
    """How many of the `sequence` tokens are patches: computed from the picture, so registers and [CLS] do not count."""
    patch = getattr(model.config, "patch_size", None)
    pixels = media.get("pixel_values")
    if patch is None or pixels is None or pixels.dim() != 4:
        return sequence
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    return (pixels.shape[-2] // rows) * (pixels.shape[-1] // columns)
