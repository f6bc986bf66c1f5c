"""What training from cache saves on the clock, reading included.

    python benchmarks/train_from_cache.py step --out benchmarks/cache_2core_cpu_2026-11-22.json
    python benchmarks/train_from_cache.py recipe --out benchmarks/cache_2core_cpu_2026-11-22.json
    python benchmarks/train_from_cache.py precision --out benchmarks/cache_2core_cpu_2026-11-22.json

`step`: a whole training step (encoder, frozen LM, loss, gradients and AdamW on a linear connector) at the shapes of
ViT-B/16 and OPT-125M with random weights, float32: without a cache at entry 0 and at L/2, from cached features, from
cached states; and eP-ALM's one [CLS] per level. Logits are made for the 16 columns that are learnt, as `midstream
train` does, and in one cell for all 64, as Transformers does. Cells take turns, ratios are taken within a round. Cached
cells read their rows from shards on disk and collate them; uncached cells are given their pictures decoded, resized and
in memory. Seconds are taken on the clock and, for a machine that others use, on all cores. Before anything is timed,
the loss of every cached cell is compared with the uncached one's.

`recipe`: `midstream train RECIPE` as a user runs it, one process after the other: without a cache, making it, finding
it. CPU seconds are those of all threads of the command, imports and loading included; they depend less than the clock
on what else the machine does.

`precision`: loss and most likely words of the model that ships, on test scenes, from constants in float32 and bfloat16.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from transformers import OPTConfig, PreTrainedModel, ViTConfig, ViTModel

from midstream.cache.building import cached
from midstream.cache.items import STATES, Item, collate, constants, entry_layer, split
from midstream.cache.shards import CachedRows, write_shard
from midstream.cost.measure import Run, interleaved, ratios, spread
from midstream.cost.subjects import LEARNING_RATE, Bench, random_lm, twin
from midstream.encoders import FeatureSpec
from midstream.engine.skipping import known
from midstream.learnt_columns import logits_only_at, loss, targets
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.pocket.data import examples
from midstream.presets import deep_insert, ep_alm
from midstream.processing import IGNORED, MidstreamProcessor
from midstream.provenance import provenance
from midstream.schedule import Schedule

app = typer.Typer(add_completion=False)
TARGET = 3.0
DEPTH, HALF = 12, 6
ROWS, TEXT, SLOT = 8, 64, 4
EP_ALM, LEVELS = ep_alm(5, 10, 6), FeatureSpec((-6, -5, -4, -3, -2, -1), "cls", True)
RUNS = (
    ("none", "exact", ""),
    ("states", "exact", "made"),
    ("states", "exact", "found"),
    ("features", "exact", "made"),
    ("features", "exact", "found"),
    ("states", "bfloat16", "made"),
    ("features", "bfloat16", "made"),
)
"""Cache, precision, and whether the run made the cache or found it."""

EVERYWHERE = "entry 0, none, logits of every column"
READ_LAST = Schedule(HALF, readable=(DEPTH - 1,))
"""Entry at L/2 whose tokens are only read in the last layer: nothing reads what would become of them there."""


def models(pixels: int, tiny: bool = False) -> tuple[PreTrainedModel, PreTrainedModel]:
    """OPT-125M's and ViT-B/16's shapes, random weights; `tiny` keeps their depths only."""
    width = {"hidden_size": 24} if tiny else {}
    lm = random_lm(OPTConfig(**width, **({"word_embed_proj_dim": 24, "ffn_dim": 48} if tiny else {})), Bench())
    vit = ViTConfig(image_size=pixels, **width, **({"intermediate_size": 48} if tiny else {}))
    return lm, ViTModel(vit, add_pooling_layer=False).eval()


def rows(pixels: int) -> list[dict[str, Tensor]]:
    """Batches of one row: a picture, 64 text tokens of which the last 16 are learnt."""
    made = []
    for _ in range(ROWS):
        ids = torch.randint(3, 50000, (1, TEXT))
        labels = ids.clone()
        labels[:, :-16] = -100
        media = {"image_slots": torch.full((1, 1), SLOT), "image_pixel_values": torch.randn(1, 1, 3, pixels, pixels)}
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, **media})
    return made


def joined(lm: Any, vit: Any, schedule: Schedule, features: FeatureSpec | None = None) -> MidstreamForCausalLM:
    """A model of its own around shared weights, with the same connector each time."""
    torch.manual_seed(0)
    made = MidstreamForCausalLM.from_parts(twin(lm), image=Modality(vit, "linear", schedule, features))
    made.train()
    return made


def on_disk(model: MidstreamForCausalLM, batches: Sequence[dict[str, Tensor]], states: bool, folder: Path) -> Any:
    """The rows' constants as a shard, and how long a row took."""
    started = time.perf_counter()
    items: list[Item] = [item for batch in batches for item in split(constants(batch, model, states))]
    write_shard(folder, 0, items, None, "benchmark")
    return CachedRows(folder, len(items), len(items)), (time.perf_counter() - started) / len(items)


def joint(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rows of equal shape as one batch."""
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def read(stored: CachedRows, batch: int) -> Iterator[dict[str, Tensor]]:
    """Batches of a cache, for ever."""
    for start in cycle(range(0, len(stored), batch)):
        yield collate([stored[number] for number in range(start, start + batch)])


def loss_of(model: MidstreamForCausalLM, batch: dict[str, Tensor]) -> Tensor:
    """From a batch to its loss, as `ConnectorTrainer` goes."""
    labels, states = batch.pop("labels"), batch.pop(STATES, None)
    with ExitStack() as stack:
        stack.enter_context(logits_only_at(model.lm, targets(labels) != IGNORED))
        if states is not None:
            stack.enter_context(known(model.engine, model.lm, entry_layer(model), states))
        return loss(model(**batch, use_cache=False), labels)


def loss_of_all_logits(model: MidstreamForCausalLM, batch: dict[str, Tensor]) -> Tensor:
    """The LM's own loss, which makes logits for every column."""
    return model(**batch).loss


def stepping(model: MidstreamForCausalLM, batches: Iterator[dict[str, Tensor]], of: Any = loss_of) -> Run:
    """One training step on the next batch."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def run() -> None:
        of(model, next(batches)).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return run


def measure(pixels: int, batch: int, rounds: int, folder: Path, tiny: bool = False) -> dict[str, Any]:
    """All cells of one picture size."""
    lm, vit = models(pixels, tiny)
    given = rows(pixels)
    starts = range(0, ROWS, batch)
    runs: dict[str, Run] = {}
    facts: dict[str, Any] = {}
    families = {
        "entry 0": (deep_insert(0), None, ("none", "features")),
        "entry 6": (deep_insert(HALF), None, ("none", "features", "states")),
        "entry 6, read only in the last layer": (READ_LAST, None, ("none", "states")),
        "eP-ALM": (EP_ALM, LEVELS, ("none", "features", "states")),
    }
    for name, (schedule, features, kinds) in families.items():
        model = joined(lm, vit, schedule, features)
        plain = [joint(given[start : start + batch]) for start in starts]
        expected = loss_of(model, dict(plain[0])).item()
        for kind in kinds:
            batches = cycle(plain)
            if kind != "none":
                place = folder / f"{pixels} {name} {kind}"
                place.mkdir()
                stored, per_row = on_disk(model, given, kind == "states", place)
                batches = read(stored, batch)
                found = loss_of(model, collate([stored[i] for i in range(batch)])).item()
                facts[f"{name}, {kind}"] = {
                    "loss_difference": abs(found - expected),
                    "kB_per_row": sum(tensor.nbytes for tensor in stored[0].values()) / 1000,
                    "seconds_to_make_a_row": round(per_row, 3),
                }
            runs[f"{name}, {kind}"] = stepping(joined(lm, vit, schedule, features), map(dict, batches))
    everywhere = cycle(joint(given[start : start + batch]) for start in starts)
    runs[EVERYWHERE] = stepping(joined(lm, vit, deep_insert(0)), everywhere, loss_of_all_logits)
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    runs = {name: _on_all_cores(run, cpu[name]) for name, run in runs.items()}
    seconds = interleaved(runs, rounds, report=lambda *told: typer.echo(told, err=True))
    cpu = {name: values[1:] for name, values in cpu.items()}  # the first round warms up
    base = {name: "eP-ALM, none" if name.startswith("eP-ALM") else "entry 0, none" for name in runs}
    return {
        "patches": (pixels // 16) ** 2,
        "batch": batch,
        "text": TEXT,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "cpu_seconds": {name: spread(values) for name, values in cpu.items()},
        "times_as_fast": {name: ratios(seconds, base[name], name) for name in runs},
        "times_as_fast_by_cpu": {name: ratios(cpu, base[name], name) for name in runs},
        "times_as_fast_as_with_all_logits_by_cpu": {name: ratios(cpu, EVERYWHERE, name) for name in runs},
        "caches": facts,
    }


def _on_all_cores(run: Run, seconds: list[float]) -> Run:
    """`run`, noting its seconds on all cores: what it costs, whatever else the machine does."""

    def noted() -> None:
        before = time.process_time()
        run()
        seconds.append(time.process_time() - before)

    return noted


@app.command()
def step(
    out: Annotated[Path, typer.Option(help="Results, one JSON file; the other command's part of it is kept.")],
    sizes: Annotated[str, typer.Option(help="Pixels per side and batch.")] = "224x4,384x2",
    rounds: int = 7,
    tiny: Annotated[bool, typer.Option(help="Tiny widths, to try the script.")] = False,
) -> None:
    """Time single steps."""
    results = []
    for size in sizes.split(","):
        pixels, batch = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(pixels, batch, rounds, Path(folder), tiny))
    _keep(out, "step", {"cells": results, "target_states_over_entry_0": TARGET})


@app.command()
def recipe(
    out: Annotated[Path, typer.Option(help="Results, one JSON file; the other command's part of it is kept.")],
    name: str = "deep_insert",
    threads: int = 1,
    n: Annotated[int, typer.Option(help="Test questions.")] = 500,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Of the recipe; may be repeated.")] = None,
) -> None:
    """Time whole runs of a recipe."""
    given = [word for setting in settings or [] for word in ("--set", setting)]
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for cache, precision, state in RUNS:
            model, kept = f"{folder}/{len(cells)}", f"{folder}/cache-{cache}-{precision}"
            options = ["--set", f"training.cache={cache}", "--set", f"training.cache_precision={precision}"]
            options += ["--cache-dir", kept] if cache != "none" else []
            told, seconds, cpu = _midstream(["train", name, "--out", model, *given, *options, "--json"], threads)
            scored, *_ = _midstream(
                ["eval", model, "--split", "test", "--n", str(n), "--no-controls", "--json"], threads
            )
            cells.append({"cache": cache, "precision": precision, "cache_was": state})
            cells[-1] |= {"command_seconds": round(seconds, 1), "command_cpu_seconds": round(cpu, 1)}
            cells[-1] |= {key: told.get(key) for key in ("seconds", "cache_seconds", "loss")}
            cells[-1] |= {"MB": round(sum(path.stat().st_size for path in Path(kept).glob("*")) / 1e6, 1)}
            cells[-1] |= {"accuracy": scored["accuracy"]}
            typer.echo(json.dumps(cells[-1]), err=True)
            _keep(out, "recipe", {"recipe": name, "settings": settings or [], "threads": threads, "cells": cells})


def _midstream(arguments: list[str], threads: int) -> tuple[dict[str, Any], float, float]:
    """The last line of a command, its seconds on the clock and on all cores."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "midstream", *arguments]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.strip().splitlines()[-1]), time.perf_counter() - started, cpu


@app.command()
@torch.no_grad()
def precision(
    out: Annotated[Path, typer.Option(help="Results, one JSON file; the other commands' parts of it are kept.")],
    n: Annotated[int, typer.Option(help="Test rows.")] = 256,
) -> None:
    """Measure what bfloat16 in the cache changes for the model that ships."""
    model, processor = MidstreamForCausalLM.from_pretrained("pocket"), MidstreamProcessor.from_pretrained("pocket")
    rows, found = examples("test", n), {}
    for kind in ("features", "states"):
        losses: dict[Any, Tensor] = {}
        words: dict[Any, Tensor] = {}
        with tempfile.TemporaryDirectory() as folder:
            for stored_as in (None, torch.bfloat16):
                stored = cached(rows, model, processor, kind, Path(folder) / str(stored_as), stored_as=stored_as)
                batch = collate(list(stored))
                labels, states = batch.pop("labels"), batch.pop(STATES, None)
                learnt = targets(labels) != IGNORED
                with ExitStack() as stack:
                    stack.enter_context(logits_only_at(model.lm, learnt))
                    if states is not None:
                        stack.enter_context(known(model.engine, model.lm, entry_layer(model), states))
                    output = model(**batch, use_cache=False)
                losses[stored_as], words[stored_as] = loss(output, labels), output.logits[0].argmax(-1)
        whole, half = losses.values()
        right = {
            str(key or "float32").removeprefix("torch."): float((said == targets(labels)[learnt]).float().mean())
            for key, said in words.items()
        }
        agree = float((words[None] == words[torch.bfloat16]).float().mean())
        found[kind] = {"loss": float(whole), "loss_bfloat16": float(half), "same_word": agree, "right_words": right}
    _keep(out, "precision", {"model": "pocket", "rows": n, "learnt_columns": int(learnt.sum())} | found)
    typer.echo(json.dumps(found))


def _keep(out: Path, part: str, result: dict[str, Any]) -> None:
    found = json.loads(out.read_text()) if out.exists() else {}
    facts = provenance(load_average=[round(value, 2) for value in os.getloadavg()])
    out.write_text(json.dumps(found | {part: result | {"provenance": facts}}, indent=1) + "\n")


if __name__ == "__main__":
    app()
