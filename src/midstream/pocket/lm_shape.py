"""The pocket language model before training: a small Llama whose lower heads begin by looking a few tokens back.

To bind "red" to "top-left" a model must first know, at each word, which words stand just before it. A small Llama
finds that out only after a very long plateau (measured: neither 8 x 128 nor 12 x 160 had left it after 9 M tokens).
With biases on queries and keys a head can attend by distance alone, so the first layers start that way and training
goes on from there: binding then appears within the first million tokens. The architecture is ordinary Llama.
"""

from collections.abc import Callable
from typing import Any, Final

import torch

from midstream.pocket.sizes import HEAD, WIDTH, heads_of

LAYERS: Final = 8
ROPE_THETA: Final = 1000.0
SHARPNESS: Final = 3.0
LOOKS_BACK: Final = ((1, 2, 3, 4), (1, 2, 4, 6), (1, 3, 5, 7))
"""For the first layers, how many tokens back each head looks at the start."""


def build_model(tokenizer: Any, width: int = WIDTH) -> Any:
    """An untrained 8-layer Llama for the tokenizer; its replies end at a newline.

    Raises:
        InputError: a width that cannot be built.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads_of(width),
        num_key_value_heads=heads_of(width),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    for layer, distances in zip(model.model.layers, LOOKS_BACK, strict=False):
        for head, distance in enumerate(distances):
            look_back(layer.self_attn, head, distance)
    model.set_attn_implementation("eager")  # on CPU its compiled backward is 4x faster than SDPA's (measured)
    model.generation_config = generation_config(tokenizer)
    return model


def generation_config(tokenizer: Any) -> Any:
    """Replies end at a newline."""
    from transformers import GenerationConfig

    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.encode("\n")[0], tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def look_back(attention: Any, head: int, distance: int) -> None:
    """Set the biases of one head so that, whatever the tokens, it attends most to the one `distance` places back.

    With rotary embeddings (arXiv 2104.09864) a constant query and a constant key score sum_i cos(d * f_i - p_i) at
    distance d for frequencies f_i; the key's phases p_i = distance * f_i put the peak where it is wanted.
    """
    half = HEAD // 2
    frequencies = ROPE_THETA ** (-torch.arange(half) / half)
    rows = slice(head * HEAD, (head + 1) * HEAD)
    phases = distance * frequencies
    attention.q_proj.bias[rows] = SHARPNESS * torch.cat([torch.ones(half), torch.zeros(half)])
    attention.k_proj.bias[rows] = SHARPNESS * torch.cat([phases.cos(), phases.sin()])


class Turned:
    """How a model with rotary positions is walked and trained."""

    def walk(self, model: Any, columns: int, device: torch.device) -> Callable[..., torch.Tensor]:
        """A function of ids, mask and positions to the last hidden states, through the model's own layers."""
        body = model.model
        with torch.no_grad():
            row = torch.arange(columns, device=device)[None]
            angles = tuple(part.bfloat16() for part in body.rotary_emb(torch.zeros(1, device=device), row))

        def states(ids_BT: torch.Tensor, mask_B1TT: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
            hidden_BTD = body.embed_tokens(ids_BT)
            for layer in body.layers:
                hidden_BTD = layer(hidden_BTD, attention_mask=mask_B1TT, position_embeddings=angles)
            return body.norm(hidden_BTD)

        return states

    def positions(self, model: Any, ids_BT: torch.Tensor) -> torch.Tensor:
        """Of each row: angles tell distances only, so all count from 0."""
        return torch.arange(ids_BT.shape[1], device=ids_BT.device).expand(ids_BT.shape)

    def slow(self, model: Any) -> list[str]:
        """Names of parameters that are learnt slowly."""
        return []

    def after_step(self, model: Any) -> None:
        """What has to be put right after an optimiser's step."""
