"""The pocket language model's relatives, so that what is found is not about one model: OPT's shape, and more layers.

`opt` learns its positions and has LayerNorms and a plain ReLU feed-forward where `lm_shape` has rotary angles, RMSNorm
and a gated one; it begins with lower heads that look a few tokens back, for the reason told there. `deepened` makes a
deeper Llama of a trained one (depth up-scaling, arXiv 2312.15166, section 3.1), to be trained on.
"""

from collections.abc import Callable
from typing import Any, Final

import torch

from midstream.pocket.lm_shape import LAYERS, LOOKS_BACK, Turned, generation_config
from midstream.pocket.sizes import HEAD, WIDTH, heads_of

POSITIONS: Final = 512
FEED_FORWARD: Final = 512
THETA: Final = 1000.0
LOUDNESS: Final = 0.4
"""Amplitude of the first positions' waves: louder than token embeddings become (0.13), and no louder, or words are
learnt more slowly."""
SHARPNESS: Final = (1.5, 3.0, 5.0)
"""How sure the heads of the first layers are: enough for what a LayerNorm leaves of the waves when the other dimensions
have grown."""
SLOW: Final = 0.01
"""Learning rate of positions, and of queries and keys in the layers that begin by looking back, as a share of that of
token embeddings. Learnt like the others they had lost their places after five minutes, and nothing was bound after
fifteen (measured)."""


def opt(tokenizer: Any) -> Any:
    """An untrained 8-layer, 128-wide OPT (arXiv 2205.01068) for the tokenizer."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads_of(WIDTH),
        max_position_embeddings=POSITIONS,
        dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = OPTForCausalLM(config)
    decoder = model.model.decoder
    wave_positions(decoder.embed_positions)
    for layer, distances, sharpness in zip(decoder.layers, LOOKS_BACK, SHARPNESS, strict=False):
        for head, distance in enumerate(distances):
            look_back(layer.self_attn, head, distance, sharpness)
    keep_places_apart(model)
    model.set_attn_implementation("eager")
    model.generation_config = generation_config(tokenizer)
    return model


def _frequencies() -> torch.Tensor:
    half = HEAD // 2
    return THETA ** (-torch.arange(half) / half)


@torch.no_grad()
def wave_positions(embedding: Any) -> None:
    """Begin learned positions as waves in the first `HEAD` dimensions: cosines, then sines (arXiv 1706.03762, 3.5)."""
    angles = torch.arange(embedding.weight.shape[0])[:, None] * _frequencies()
    embedding.weight.zero_()
    embedding.weight[:, :HEAD] = LOUDNESS * torch.cat([angles.cos(), angles.sin()], dim=1)


@torch.no_grad()
def look_back(attention: Any, head: int, distance: int, sharpness: float) -> None:
    """Let one head attend most to the token `distance` places back: its keys read the waves, its queries the same
    waves turned back by that distance."""
    half, rows = HEAD // 2, slice(head * HEAD, (head + 1) * HEAD)
    turn = distance * _frequencies()
    cos, sin = torch.diag(turn.cos()), torch.diag(turn.sin())
    attention.k_proj.weight[rows, :HEAD] = sharpness * torch.eye(2 * half)
    attention.q_proj.weight[rows, :HEAD] = sharpness * torch.cat(
        [torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)]
    )


@torch.no_grad()
def keep_places_apart(model: Any) -> None:
    """Let nothing but positions stand in their dimensions: after each step, what layers and words would write there is
    taken away. Otherwise the second layer finds no places any more (measured, after three minutes)."""
    decoder = model.model.decoder
    decoder.embed_tokens.weight[:, :HEAD] = 0
    for layer in decoder.layers:
        for written in (layer.self_attn.out_proj, layer.fc2):
            written.weight[:HEAD] = 0
            written.bias[:HEAD] = 0


@torch.no_grad()
def deepened(model: Any, layers: int) -> Any:
    """A Llama of `layers` layers: the lower layers of the trained `model`, then its upper ones, overlapping."""
    known = model.config.num_hidden_layers
    if not known < layers <= 2 * known or (layers - known) % 2:
        raise ValueError(f"{known} layers can be made an even number more, at most twice as many; {layers} is not")
    each = layers // 2
    sources = [*range(each), *range(known - each, known)]
    config = type(model.config).from_dict(model.config.to_dict() | {"num_hidden_layers": layers})
    deeper = type(model)(config)
    deeper.load_state_dict(model.state_dict(), strict=False)
    for layer, source in zip(deeper.model.layers, sources, strict=True):
        layer.load_state_dict(model.model.layers[source].state_dict())
    deeper.set_attn_implementation("eager")
    deeper.generation_config = model.generation_config
    return deeper


class Learned(Turned):
    """How a model with learned positions is walked and trained."""

    def walk(self, model: Any, columns: int, device: torch.device) -> Callable[..., torch.Tensor]:
        """As `Turned.walk`."""
        decoder = model.model.decoder

        def states(ids_BT: torch.Tensor, mask_B1TT: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
            hidden_BTD = decoder.embed_tokens(ids_BT) + decoder.embed_positions(ids_BT, position_ids=positions_BT)
            for layer in decoder.layers:
                hidden_BTD = layer(hidden_BTD, attention_mask=mask_B1TT)
            return decoder.final_layer_norm(hidden_BTD)

        return states

    def positions(self, model: Any, ids_BT: torch.Tensor) -> torch.Tensor:
        """Of each row from a random place on, so that all there are get learnt."""
        rows, columns = ids_BT.shape
        first = torch.randint(model.config.max_position_embeddings - columns, (rows, 1), device=ids_BT.device)
        return first + super().positions(model, ids_BT)

    def slow(self, model: Any) -> list[str]:
        """Positions, and queries and keys of the layers that begin by looking back: see `SLOW`."""
        parts = tuple(f"layers.{number}.self_attn.{part}_proj" for number in range(len(LOOKS_BACK)) for part in "qk")
        return [name for name, _ in model.named_parameters() if any(p in name for p in ("embed_positions", *parts))]

    def after_step(self, model: Any) -> None:
        """Places stay apart."""
        keep_places_apart(model)


def habits_of(model: Any) -> Turned:
    """How a pocket language model is walked and trained."""
    return Learned() if model.config.model_type == "opt" else Turned()
