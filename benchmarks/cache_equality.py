"""Which bits training from cache keeps: hidden states of text in one batch and in another.

python benchmarks/cache_equality.py --out benchmarks/cache_equality_2core_cpu_2026-11-22.json

families    every decoder family that the engine drives, tiny, one thread: logits of a pass that begins at L/2 with
            known states against the whole pass; states of a row by itself against those beside longer rows
threads     OPT's and Llama's layers at widths of real models, 1 and 2 threads: states of rows that are computed a
            few at a time against those of all 16 at once, by how many rows the products have
"""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from transformers.utils import logging

from midstream.cache.items import COLUMNS
from midstream.compat.families import tiny_model
from midstream.compat.scene import ROWS, collate, join
from midstream.engine.skipping import known, reached
from midstream.provenance import provenance
from midstream.testing import tiny_lm

DRIVEN = Path(__file__).parent.parent / "tests" / "compat" / "expected.json"
SHAPES: dict[str, dict[str, Any]] = {
    "opt": {"hidden_size": 768, "ffn_dim": 3072, "word_embed_proj_dim": 768, "num_attention_heads": 12},
    "llama": {"hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "head_dim": 64},
}


def states(model: Any, rows: Any, layer: int) -> list[Tensor]:
    """The states of each row, padded together, without their padding."""
    inputs = collate(tuple(rows), "right", COLUMNS)
    found = reached(model.engine, layer, lambda: model(**inputs))
    return [found[index, : len(row.ids)] for index, row in enumerate(rows)]


@torch.no_grad()
def family(name: str) -> dict[str, Any]:
    """What holds for one family."""
    torch.manual_seed(0)
    lm = tiny_model(name)
    layer = max(1, lm.config.get_text_config(decoder=True).num_hidden_layers // 2)
    model = join(lm, layer)
    inputs = collate(ROWS, "right", COLUMNS)
    whole = model(**inputs).logits
    with known(model.engine, model.lm, layer, reached(model.engine, layer, lambda: model(**inputs))):
        begun = model(**inputs).logits
    real = inputs["attention_mask"].bool()
    together, alone = states(model, ROWS, layer), [states(model, [row], layer)[0] for row in ROWS]
    return {
        "logits_equal": torch.equal(whole[real], begun[real]),
        "states_difference": max(float((a - b).abs().max()) for a, b in zip(alone, together, strict=True)),
    }


@torch.no_grad()
def threads(name: str, count: int) -> dict[str, float]:
    """Rows in a product -> the largest difference to the states of all 16 rows at once."""
    torch.set_num_threads(count)
    lm, depth, columns = tiny_lm(name, depth=4, num_key_value_heads=2, **SHAPES[name]), 4, 6 * COLUMNS
    ids = torch.randint(3, 99, (16, columns), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(columns) < torch.arange(columns - 15, columns + 1)[:, None]).long()

    def hidden(rows: slice) -> Tensor:
        output = lm(input_ids=ids[rows], attention_mask=mask[rows], output_hidden_states=True, use_cache=False)
        return output.hidden_states[depth // 2] * mask[rows][..., None]

    whole, found = hidden(slice(None)), {}
    for size in (1, 2, 4, 8):
        parts = torch.cat([hidden(slice(start, start + size)) for start in range(0, 16, size)])
        found[str(size * columns)] = float((parts - whole).abs().max())
    return found


def main(
    out: Annotated[Path, typer.Option(help="Results, one JSON file.")],
    only: Annotated[str, typer.Option(help="Families, instead of all.")] = "",
) -> None:
    """Compare, and write what was found."""
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    driven = [name for name, status in json.loads(DRIVEN.read_text()).items() if status == "pass"]
    found = {name: family(name) for name in (only.split(",") if only else driven)}
    exact = [name for name, result in found.items() if result["logits_equal"] and not result["states_difference"]]
    summary = {
        "driven": len(found),
        "logits_equal": sum(result["logits_equal"] for result in found.values()),
        "states_equal": len(exact),
        "largest_states_difference": max(result["states_difference"] for result in found.values()),
    }
    by_threads = {f"{name}, {count} threads": threads(name, count) for name in SHAPES for count in (1, 2)}
    result = {"summary": summary, "threads": by_threads, "families": found, "provenance": provenance()}
    out.write_text(json.dumps(result, indent=1) + "\n")
    typer.echo(json.dumps({"summary": summary, "threads": by_threads}))


if __name__ == "__main__":
    typer.run(main)
