"""`FrozenEncoder`: any pretrained encoder as a constant function from media tensors to features.

Shapes: N media items, V levels, P features per item, E encoder width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from midstream.encoders import layouts
from midstream.encoders.spec import FeatureSpec
from midstream.errors import InputError
from midstream.own import OwnEncoder, make_own
from midstream.part_names import fresh, not_loaded


class FrozenEncoder(nn.Module):
    """A pretrained encoder that never changes: no gradients, always in eval mode.

    Args:
        model: a Hugging Face model with hidden states (a two-tower model gives its non-text tower), or an encoder of
            the user's own.
        features: which layers and tokens come out.

    Raises:
        InputError: the model has no layer or no [CLS] token as `features` asks for.
    """

    def __init__(self, model: PreTrainedModel | OwnEncoder, features: FeatureSpec) -> None:
        super().__init__()
        self.features = features
        self.model: Any
        if isinstance(model, OwnEncoder):
            self.model = model.requires_grad_(False).eval()
            self.width = model.width
            self._final_norm = None
            if features != FeatureSpec():
                raise InputError(f"{model.name} is an encoder of your own, which gives one level: leave `features` out")
            return
        self.model = layouts.tower(model).requires_grad_(False).eval()
        self.width = self.model.config.hidden_size
        blocks = self.model.config.num_hidden_layers
        for layer in features.layers:
            if not -blocks - 1 <= layer <= blocks:
                raise InputError(
                    f"features.layers names {layer}, but {type(self.model).__name__} has hidden states "
                    f"{-blocks - 1}..{blocks}"
                )
            if layouts.is_pyramid(self.model.config) and layer not in (-1, blocks):
                raise InputError(
                    f"features.layers names {layer}, but the stages of {type(self.model).__name__} differ in width; "
                    f"only the last one, -1, can be read"
                )
        self._final_norm = layouts.final_norm(self.model) if features.norm else None
        self.train(False)

    @property
    def input_name(self) -> str:
        """The tensor the encoder reads, e.g. `pixel_values`; empty for one of the user's own."""
        return getattr(self.model, "main_input_name", "")

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Stay in eval mode: dropout in a frozen part is noise."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, **media: Tensor) -> Tensor:
        """Encode N media items.

        Args:
            media: the encoder's own inputs, N first, e.g. `pixel_values` (N, C, H, W). An encoder of pictures also
                takes frames (N, F, C, H, W) and gives their features frame after frame.

        Returns:
            (N, V, P, E): one level for each of `features.layers`. Features of padding are zeros.
        """
        if isinstance(self.model, OwnEncoder):
            return self._own(media)
        media = {
            key: value.to(self.model.dtype) if value.is_floating_point() else value for key, value in media.items()
        }
        media, frames = layouts.fold_frames(media, self.model.config)
        features_NVPE = self._pooled(layouts.unfold_frames(torch.stack(self._levels(media), dim=1), frames))
        return _noise_for(features_NVPE) if self.features.noise else features_NVPE

    def _pooled(self, features_NVPE: Tensor) -> Tensor:
        """The mean of each `features.pool` features that follow one another."""
        pool, count = self.features.pool, features_NVPE.shape[2]
        if count % pool:
            raise InputError(f"features.pool is {pool}, but {count} features do not divide into groups of as many")
        return features_NVPE.unflatten(2, (-1, pool)).mean(3) if pool > 1 else features_NVPE

    def _own(self, media: Mapping[str, Tensor]) -> Tensor:
        features = self.model(**media)
        if features.dim() == 3:
            features = features.unsqueeze(1)
        if features.dim() != 4 or features.shape[-1] != self.width:
            raise InputError(
                f"{self.model.name} gave {tuple(features.shape)}; its forward must return (N, P, {self.width})"
            )
        return features

    def _levels(self, media: Mapping[str, Tensor]) -> list[Tensor]:
        depth = self.model.config.num_hidden_layers
        is_last = [layer in (-1, depth) for layer in self.features.layers]
        normed_inside: list[bool] = []
        watch = None
        if self._final_norm is not None:
            watch = self._final_norm.register_forward_hook(
                lambda module, inputs, output: normed_inside.append(output.dim() == 3)
            )
        try:
            output = self.model(
                **layouts.inputs_of(self.model, media), output_hidden_states=not all(is_last), return_dict=True
            )
        finally:
            if watch is not None:
                watch.remove()
        levels = []
        for layer, last in zip(self.features.layers, is_last, strict=True):
            state = output.last_hidden_state if last else layouts.state(output, layer, depth)
            level_NSE = layouts.flat(state, self.model.config)
            if self._final_norm is not None and not (last and any(normed_inside)):
                level_NSE = self._final_norm(level_NSE)
            levels.append(self._select(level_NSE, media))
        return levels

    def _select(self, level_NSE: Tensor, media: Mapping[str, Tensor]) -> Tensor:
        """Keep patches, [CLS], or all of the S tokens of one level; padding becomes zeros."""
        sequence = level_NSE.shape[1]
        real_NS = layouts.kept(self.model, media, sequence)
        if real_NS is not None:
            level_NSE = level_NSE * real_NS.unsqueeze(-1)
        if self.features.tokens == "all":
            return level_NSE
        leading = sequence - layouts.patch_count(self.model, media, sequence)
        if self.features.tokens == "patches":
            return layouts.time_first(self.model, level_NSE[:, leading:])
        if leading == 0:
            raise InputError(f"{type(self.model).__name__} has no [CLS] token; set features.tokens to patches or all")
        return level_NSE[:, :1]


def _noise_for(features_NVPE: Tensor) -> Tensor:
    """Gaussian noise of the features' shape; the same for the same item, as features are."""
    if features_NVPE.is_meta:
        return features_NVPE
    made = []
    for item in features_NVPE:
        seed = int(item.double().sum().mul(1e3).round().item()) % 2**31
        generator = torch.Generator().manual_seed(seed)
        made.append(torch.randn(item.shape, generator=generator).to(item))
    return torch.stack(made)


def load_encoder(
    source: str | Path | PreTrainedModel | OwnEncoder,
    features: FeatureSpec,
    fresh_weights: bool = False,
    **options: Any,
) -> FrozenEncoder:
    """Load and freeze an encoder from an id, a local folder, the name of one's own, or a module that is loaded already.

    Args:
        fresh_weights: of the architecture and sizes only; the weights are drawn anew (a control).
        options: passed on to `from_pretrained`, or to the constructor of one's own.

    Raises:
        InputError: the source cannot be loaded (only safetensors weights are).
    """
    if isinstance(source, nn.Module):
        return FrozenEncoder(source, features)
    if (own := make_own(str(source), options)) is not None:
        return FrozenEncoder(own, features)
    try:
        if fresh_weights:
            with fresh():
                return FrozenEncoder(AutoModel.from_config(AutoConfig.from_pretrained(str(source))), features)
        model = AutoModel.from_pretrained(str(source), use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise not_loaded("encoder", source, error) from None
    return FrozenEncoder(model, features)
