"""The trained part: encoder features in, tokens of the LM's width out.

A connector knows two widths, a level count and a token count. It does not know the LM, the layer, or the modality.

Shapes: N media items, V levels, P features per item, K tokens per item, E encoder width, D LM width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from midstream.errors import InputError


class LinearConnector(nn.Module):
    """One affine map for all levels, or one per level (eP-ALM section 3.2; LiMBeR)."""

    def __init__(self, encoder_width: int, lm_width: int, levels: int = 1, per_level: bool = False) -> None:
        super().__init__()
        self.levels = levels
        self.maps = nn.ModuleList(nn.Linear(encoder_width, lm_width) for _ in range(levels if per_level else 1))

    def forward(self, features_NVPE: Tensor) -> Tensor:
        """(N, V, P, E) -> (N, V, P, D): as many tokens as there are features."""
        outputs = [self.maps[v % len(self.maps)](features_NVPE[:, v]) for v in range(self.levels)]
        return torch.stack(outputs, dim=1)


class MLPConnector(nn.Module):
    """Norm, Linear, GELU, Linear for all levels; without the norm it is LLaVA-1.5's projector (arXiv 2310.03744)."""

    def __init__(
        self, encoder_width: int, lm_width: int, levels: int = 1, hidden: int | None = None, norm: bool = True
    ) -> None:
        super().__init__()
        self.levels = levels
        hidden = hidden or lm_width
        self.net = nn.Sequential(
            nn.LayerNorm(encoder_width) if norm else nn.Identity(),
            nn.Linear(encoder_width, hidden),
            nn.GELU(),
            nn.Linear(hidden, lm_width),
        )

    def forward(self, features_NVPE: Tensor) -> Tensor:
        """(N, V, P, E) -> (N, V, P, D)."""
        return self.net(features_NVPE)


class ResamplerConnector(nn.Module):
    """Learned queries read the features by cross-attention (Flamingo's resampler, arXiv 2204.14198, section 2.1).

    `queries` tokens come out whatever the number of features. All `levels` are read together, so one level comes out.
    """

    def __init__(
        self,
        encoder_width: int,
        lm_width: int,
        levels: int = 1,
        queries: int = 16,
        depth: int = 2,
        heads: int = 4,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        width = hidden or lm_width
        if width % heads:
            raise InputError(f"resampler width {width} is not divisible by heads={heads}; set hidden or heads")
        self.inward = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.blocks = nn.ModuleList(_ResamplerBlock(width, heads) for _ in range(depth))
        self.outward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, lm_width))

    def forward(self, features_NVPE: Tensor) -> Tensor:
        """(N, V, P, E) -> (N, 1, queries, D)."""
        features_NPH = self.inward(features_NVPE.flatten(1, 2))
        tokens_NKH = self.queries.expand(features_NPH.shape[0], -1, -1)
        for block in self.blocks:
            tokens_NKH = block(tokens_NKH, features_NPH)
        return self.outward(tokens_NKH).unsqueeze(1)


class _ResamplerBlock(nn.Module):
    """Pre-norm cross-attention from the queries to features and queries, then a feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_queries = nn.LayerNorm(width)
        self.norm_features = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ffn = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens_NKH: Tensor, features_NPH: Tensor) -> Tensor:
        queries = self.norm_queries(tokens_NKH)
        keys = torch.cat([self.norm_features(features_NPH), queries], dim=1)
        tokens_NKH = tokens_NKH + self.attention(queries, keys, keys, need_weights=False)[0]
        return tokens_NKH + self.ffn(tokens_NKH)


class SoftPrompt(nn.Module):
    """Learned vectors: a modality whose encoder is a table (prompt tuning, arXiv 2104.08691).

    With `hidden`, the table passes a Linear-Tanh-Linear, as eP-ALM's prompt does (it folds away at inference).
    """

    def __init__(self, lm_width: int, tokens: int = 10, hidden: int | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(tokens, hidden or lm_width) * 0.02)
        self.net = (
            nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, lm_width))
            if hidden
            else nn.Identity()
        )

    def forward(self, rows: int) -> Tensor:
        """-> (rows, 1, tokens, D)."""
        return self.net(self.table)[None, None].expand(rows, -1, -1, -1)


class IdentityConnector(nn.Module):
    """The features are the tokens; nothing is trained. PromptFuse (arXiv 2203.08055) learns a soft prompt beside it."""

    def __init__(self, encoder_width: int, lm_width: int, levels: int = 1) -> None:
        super().__init__()
        if encoder_width != lm_width:
            raise InputError(
                f"an identity connector needs equal widths, but the encoder's is {encoder_width} and the language "
                f"model's {lm_width}; choose a linear connector"
            )

    def forward(self, features_NVPE: Tensor) -> Tensor:
        """(N, V, P, E) -> the same."""
        return features_NVPE


class TimedConnector(nn.Module):
    """A connector that sees time: a learned vector for each of `times` steps is added to that step's features.

    For encoders that read frames one by one, and know nothing of their order (the temporal embedding of TimeSformer,
    arXiv 2102.05095, section 3.1, put behind the encoder).
    """

    def __init__(self, inner: nn.Module, times: int, encoder_width: int) -> None:
        super().__init__()
        self.inner = inner
        self.table = nn.Parameter(torch.randn(times, encoder_width) * 0.02)

    def forward(self, features_NVPE: Tensor) -> Tensor:
        """(N, V, P, E) -> (N, V, K, D); P features are `times` steps of equally many, step after step.

        Raises:
            InputError: P is no multiple of `times`.
        """
        times, count = len(self.table), features_NVPE.shape[2]
        if count % times:
            raise InputError(f"connector.times is {times}, but {count} features do not divide into as many steps")
        return self.inner(features_NVPE + self.table.repeat_interleave(count // times, dim=0))


CONNECTORS: dict[str, type[nn.Module]] = {
    "identity": IdentityConnector,
    "linear": LinearConnector,
    "mlp": MLPConnector,
    "resampler": ResamplerConnector,
    "soft_prompt": SoftPrompt,
}


def build_connector(settings: Mapping[str, Any], **widths: int) -> nn.Module:
    """Build the connector that `settings` ({"kind": ..., options}) describes.

    Raises:
        InputError: unknown kind or option.
    """
    options = dict(settings)
    kind, times = options.pop("kind", None), options.pop("times", None)
    if kind not in CONNECTORS:
        raise InputError(f"unknown connector kind {kind!r}; choose one of {sorted(CONNECTORS)}")
    try:
        connector = CONNECTORS[kind](**widths, **options)
    except TypeError as error:
        raise InputError(f"connector {kind}: {str(error).split('__init__() ')[-1]}") from None
    return connector if times is None else TimedConnector(connector, times, widths["encoder_width"])
