"""What the engine itself costs: the same token counts with and without it, on random weights of OPT-125M's shape.

    python benchmarks/engine_cost.py --out benchmarks/engine_2core_cpu_2026-11-22.json

Three pairs, each for a forward pass over the prompt (`prefill`) and for one further token (`decode`):

    idle         the plain LM, and the LM inside a Midstream model, both on text alone
    entry at 0   inputs_embeds of text and tokens, concatenated by hand, through the plain LM; and the engine's prepend
    entry at L/2 the plain LM's layers called one by one by hand, tokens concatenated before layer L/2; and the engine

The hand-written sides are this file's own code; nothing of the engine runs in them. Their logits are compared before
anything is timed. Within a round both sides of a pair take turns, a ratio is taken, and the next round turns the order
round; the figures are medians and quartiles of those ratios.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from transformers import DynamicCache
from transformers.masking_utils import create_causal_mask

from midstream.cost.comparison import Given, chosen
from midstream.cost.measure import interleaved, ratios, spread
from midstream.cost.subjects import Bench, joined, plain, random_lm
from midstream.presets import deep_insert, prepend
from midstream.provenance import provenance

TARGET = 1.03
DECODED = 4
"""Tokens decoded in one timed run."""


class ByHand:
    """OPT, layer by layer, with the tokens concatenated before layer `entry`; attention and cache are OPT's own."""

    def __init__(self, lm: Any, tokens_BKD: Tensor, column: int, entry: int) -> None:
        self.lm, self.decoder, self.tokens_BKD = lm, lm.model.decoder, tokens_BKD
        self.column, self.entry = column, entry

    def forward(self, input_ids: Tensor, cache: DynamicCache, text_before: int) -> Tensor:
        """Logits of the last column. `text_before`: text columns in the cache; 0 at the prompt."""
        decoder, count = self.decoder, self.tokens_BKD.shape[1]
        hidden = decoder.embed_tokens(input_ids)
        first = text_before == 0
        places = torch.arange(input_ids.shape[1])[None] + text_before
        merged = places + count * (places >= self.column)
        ones = torch.ones(1, text_before + input_ids.shape[1], dtype=torch.long)
        hidden = hidden + decoder.embed_positions(ones, 0, position_ids=merged)
        mask = self._mask(hidden, cache, ones, merged, 0)
        for index, layer in enumerate(decoder.layers):
            if index == self.entry:
                if first:
                    hidden = torch.cat([hidden[:, : self.column], self.tokens_BKD, hidden[:, self.column :]], dim=1)
                    merged = torch.arange(hidden.shape[1])[None]
                ones = torch.ones(1, ones.shape[1] + count, dtype=torch.long)
                mask = self._mask(hidden, cache, ones, merged, index)
            hidden = layer(hidden, attention_mask=mask, position_ids=merged, past_key_values=cache, use_cache=True)
            hidden = hidden if isinstance(hidden, Tensor) else hidden[0]
        return self.lm.lm_head(decoder.final_layer_norm(hidden[:, -1:]))

    def _mask(self, hidden: Tensor, cache: DynamicCache, ones: Tensor, places: Tensor, layer: int) -> Any:
        return create_causal_mask(
            config=self.lm.config,
            inputs_embeds=hidden,
            attention_mask=ones,
            past_key_values=cache,
            position_ids=places,
            layer_idx=layer,
        )


def sides(
    lm_name: str, text: int, tokens: int, share: int
) -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]]:
    """Pair -> its two sides; each takes (ids, cache, text columns in the cache) and gives the last column's logits."""
    source, senses, _ = chosen(lm_name, None)
    setting = Bench(1, text)
    lm = random_lm(source.lm, setting)
    entry = source.lm.num_hidden_layers * share // 4
    bare, _ = plain(lm, setting)
    at_0, inputs = joined(lm, senses, {"image": prepend()}, setting, Given(tokens, 768))
    at_k, _ = joined(lm, senses, {"image": deep_insert(entry)}, setting, Given(tokens, 768))
    at_k.modalities["image"].load_state_dict(at_0.modalities["image"].state_dict())
    slots, features = inputs["image_slots"] + text // 4, inputs["image_features"]
    with torch.no_grad():
        tokens_BKD = at_0.modalities["image"].connector(features[:, 0])[:, 0]
    given = {"image_slots": slots, "image_tokens": tokens_BKD[:, None, None]}
    column = text // 4

    def through(model: Any, media: dict[str, Tensor]) -> Callable[..., Tensor]:
        def run(ids: Tensor, cache: DynamicCache, before: int) -> Tensor:
            ones = torch.ones(1, before + ids.shape[1], dtype=torch.long)
            cargo = media if before == 0 else {}
            return model(
                input_ids=ids, attention_mask=ones, past_key_values=cache, use_cache=True, logits_to_keep=1, **cargo
            ).logits

        return run

    def concatenated(ids: Tensor, cache: DynamicCache, before: int) -> Tensor:
        embeddings = bare.model.decoder.embed_tokens(ids)
        if before == 0:
            embeddings = torch.cat([embeddings[:, :column], tokens_BKD, embeddings[:, column:]], dim=1)
        ones = torch.ones(1, before + ids.shape[1] + tokens, dtype=torch.long)
        return bare(
            inputs_embeds=embeddings, attention_mask=ones, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits

    return {
        "idle": (through(bare, {}), through(at_k, {})),
        "entry at 0": (concatenated, through(at_0, given)),
        f"entry at {entry}": (ByHand(bare, tokens_BKD, column, entry).forward, through(at_k, given)),
    }


def runs_of(side: Callable[..., Tensor], lm_config: Any, ids: Tensor) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Prefill, and some further tokens on a cache of its own."""
    text = ids.shape[1]
    cache = DynamicCache(config=lm_config)
    side(ids, cache, 0)
    state = {"text": text}

    def prefill() -> Any:
        return side(ids, DynamicCache(config=lm_config), 0)

    def decode() -> None:
        for _ in range(DECODED):
            side(ids[:, -1:], cache, state["text"])
            state["text"] += 1

    return prefill, decode


def check(pair: tuple[Callable[..., Tensor], Callable[..., Tensor]], lm_config: Any, ids: Tensor) -> float:
    """The largest difference of the two sides' logits, at the prompt and at the token after it."""
    worst = 0.0
    caches = [DynamicCache(config=lm_config) for _ in pair]
    for columns, before in ((ids, 0), (ids[:, -1:], ids.shape[1])):
        left, right = (side(columns, cache, before) for side, cache in zip(pair, caches, strict=True))
        worst = max(worst, float((left - right).abs().max()))
    return worst


@torch.no_grad()
def main(
    lm: Annotated[str, typer.Option(help="A shape of the OPT family.")] = "opt-125m",
    text: int = 64,
    tokens: int = 576,
    rounds: int = 21,
    cpu_time: Annotated[bool, typer.Option("--cpu-time", help="Leave out what others run.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the result here.")] = None,
) -> None:
    """Measure, print, and write the result."""
    torch.manual_seed(0)
    clock = time.process_time if cpu_time else time.perf_counter
    config = chosen(lm, None)[0].lm
    ids = torch.randint(3, config.vocab_size, (1, text))
    result: dict[str, Any] = {"target": TARGET, "lm": lm, "text": text, "tokens": tokens, "rounds": rounds, "pairs": {}}
    for name, pair in sides(lm, text, tokens, 2).items():
        difference = check(pair, config, ids)
        assert difference < 1e-4, f"{name}: the sides differ by {difference}; they do not do the same work"
        own, other = (runs_of(side, config, ids) for side in pair)
        found: dict[str, Any] = {"logits_differ_by": difference}
        for stage, number, times in (("prefill", 0, rounds), ("decode", 1, 3 * rounds)):
            seconds = interleaved({"by hand": own[number], "engine": other[number]}, times, clock=clock)
            per = DECODED if stage == "decode" else 1
            found[stage] = {
                "ratio": ratios(seconds, "engine", "by hand"),
                "engine_seconds": spread([value / per for value in seconds["engine"]]),
                "by_hand_seconds": spread([value / per for value in seconds["by hand"]]),
            }
            ratio = found[stage]["ratio"]
            typer.echo(f"{name:12} {stage:8} {ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f})", err=True)
        result["pairs"][name] = found
    result |= {"provenance": provenance(seed=0, clock=clock.__name__)}
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
