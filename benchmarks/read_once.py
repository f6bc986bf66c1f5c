"""A second picture with the same prompt: time to first token when the text below the entry is read once.

    python benchmarks/read_once.py --out benchmarks/read_once_2core_cpu_2026-11-22.json

OPT-125M's shape and ViT-B/16's (196 patches), random weights, float32, a linear connector, one row, entry at L/2. In
each round take turns: the encoder alone, and the first token without and with the text read before. Two promises stand
beside what is measured: `by_layers`, the encoder and (L - k) / L of what the LM took, which holds when the text is long
beside the picture; and `by_columns`, which counts that the layers above the entry hold the picture too.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import OPTConfig, OPTForCausalLM, ViTConfig, ViTModel

from midstream.cost.measure import interleaved, spread
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert
from midstream.provenance import provenance

PATCHES = 196

WORDS = 1000
"""Of the vocabulary: the head of a real one costs the same in both runs and would flatter neither."""


def measure(text: int, rounds: int) -> dict[str, Any]:
    """Seconds to first token with `text` columns of prompt."""
    torch.manual_seed(0)
    lm = OPTForCausalLM(OPTConfig(vocab_size=WORDS)).eval()  # the defaults are OPT-125M's
    vit = ViTModel(ViTConfig(), add_pooling_layer=False).eval()
    depth = lm.config.num_hidden_layers
    layer = depth // 2
    model = MidstreamForCausalLM.from_parts(lm, image=Modality(vit, "linear", deep_insert(layer)))
    inputs = {
        "input_ids": torch.randint(3, WORDS, (1, text)),
        "attention_mask": torch.ones(1, text, dtype=torch.long),
        "image_slots": torch.tensor([[4]]),
        "image_pixel_values": torch.randn(1, 1, 3, 224, 224),
    }
    read = model.read(**inputs)
    one: dict[str, Any] = {"max_new_tokens": 1, "min_new_tokens": 1, "do_sample": False}
    other = inputs | {"image_pixel_values": torch.randn(1, 1, 3, 224, 224)}
    runs = {
        "encoder": lambda: model.modalities["image"].tokens(
            {"slots": other["image_slots"], "pixel_values": other["image_pixel_values"]}
        ),
        "first": lambda: model.generate(**other, **one),
        "second": lambda: model.generate(**other, **one, read=read),
    }
    with torch.no_grad():
        assert torch.equal(runs["first"](), runs["second"]())
        seconds = interleaved(runs, rounds)
    lm_alone = [first - encoder for first, encoder in zip(seconds["first"], seconds["encoder"], strict=True)]
    above, below = (depth - layer) * (text + PATCHES), layer * text
    promised = {"by_layers": (depth - layer) / depth, "by_columns": above / (above + below)}
    return {
        "text": text,
        "layer": layer,
        "layers": depth,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "second_over_first": spread([b / a for a, b in zip(seconds["first"], seconds["second"], strict=True)]),
        "second_over_promised": {
            name: spread(
                [
                    second / (encoder + share * rest)
                    for second, encoder, rest in zip(seconds["second"], seconds["encoder"], lm_alone, strict=True)
                ]
            )
            for name, share in promised.items()
        },
    }


def main(
    out: Annotated[Path, typer.Option(help="The results, one JSON file.")],
    texts: Annotated[str, typer.Option(help="Columns of prompt.")] = "64,512,1500",
    rounds: int = 11,
) -> None:
    """Run every length of prompt, and write the file."""
    results = [measure(int(text), rounds) for text in texts.split(",")]
    out.write_text(json.dumps({"results": results, "provenance": provenance(seed=0)}, indent=1) + "\n")
    for result in results:
        typer.echo(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
