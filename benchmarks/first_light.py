"""The figures of the README: shipped recipes and further depths on the pocket world, several seeds, every control.

    python benchmarks/first_light.py run --out benchmarks/first_light_2core_cpu_2026-11-22.json
    python benchmarks/first_light.py readme benchmarks/first_light_2core_cpu_2026-11-22.json

Each cell is `midstream train` and `midstream eval --json` in processes of their own; cells that are in the file already
are not run again. The cells of seed 0 run one after the other on all cores, and the table's seconds are theirs; the
others run `--workers` at a time on one thread each, and their seconds compare with nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from threading import Lock
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)
README = Path(__file__).parent.parent / "README.md"
CONTROLS = ("blind", "shuffled", "untrained")
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def cells(seeds: int, depths: Iterable[int], rules: Iterable[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is run: the cells to be timed, and the others, seed by seed, so that what is interrupted is still paired."""
    names = ("deep_insert", "prepend", "ep_alm")
    timed = [{"recipe": name, "seed": 0} for name in names]
    others: list[dict[str, Any]] = [{"recipe": name, "seed": seed} for seed in range(1, seeds) for name in names]
    others += [{"recipe": "deep_insert", "seed": 0, "layer": layer} for layer in depths]
    return timed, others + [
        {"recipe": "deep_insert", "seed": seed, "positions": rule} for rule in rules for seed in (0, 1)
    ]


def run_cell(cell: dict[str, Any], threads: int, n: int) -> dict[str, Any]:
    """Train and evaluate one cell; returns the cell with its figures."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    settings = [f"training.seed={cell['seed']}"]
    if "layer" in cell:
        settings.append(f"modalities.image.schedule.layer={cell['layer']}")
    if "positions" in cell:
        settings.append(f"positions={cell['positions']}")
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/model"
        train = ["train", cell["recipe"], "--out", out, "--json", *(x for s in settings for x in ("--set", s))]
        started = time.perf_counter()
        trained = _midstream(train, environment)
        seconds = time.perf_counter() - started
        evaluated = _midstream(["eval", out, "--n", str(n), "--split", "test", "--json"], environment)
        info = _midstream(["info", out, "--json"], environment)
    return cell | {
        "threads": threads,
        "seconds": round(seconds, 1),
        "train": {key: value for key, value in trained.items() if key != "model"},  # a scratch folder
        "eval": evaluated,
        "trained_parameters": sum(part["trained"] for part in info["parts"]),
    }


def _midstream(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "midstream", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _key(cell: dict[str, Any]) -> str:
    return json.dumps({key: cell.get(key) for key in ("recipe", "seed", "layer", "positions")}, sort_keys=True)


@app.command()
def run(
    out: Annotated[Path, typer.Option(help="Results, one JSON file; finished cells in it are kept.")],
    seeds: int = 3,
    depths: Annotated[str, typer.Option(help="Further entry layers, seed 0.")] = "2,6",
    positions: Annotated[str, typer.Option(help="Further position rules for deep_insert, seeds 0 and 1.")] = "",
    n: Annotated[int, typer.Option(help="Test questions per evaluation.")] = 1000,
    workers: int = 2,
) -> None:
    """Run every cell that is not in the file yet."""
    results: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []
    done, lock = {_key(cell) for cell in results}, Lock()

    def finish(cell: dict[str, Any], threads: int) -> None:
        if _key(cell) in done:
            return
        result = run_cell(cell, threads, n)
        with lock:
            results.append(result)
            out.write_text(json.dumps(results, indent=1) + "\n")
        typer.echo(f"{_key(cell)}  accuracy {result['eval']['accuracy']}  {result['seconds']} s", err=True)

    rules = [rule for rule in positions.split(",") if rule]
    timed, others = cells(seeds, [int(layer) for layer in depths.split(",") if layer], rules)
    for cell in timed:
        finish(cell, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda cell: finish(cell, 1), others))


@app.command()
def readme(results: Path) -> None:
    """Write the table of a results file into the README, between its markers."""
    text = README.read_text()
    if BEGIN not in text or END not in text:
        raise typer.BadParameter(f"README.md has no {BEGIN} ... {END}")
    before, _, rest = text.partition(BEGIN)
    README.write_text(
        before + BEGIN + "\n" + table(json.loads(results.read_text()), results) + END + rest.partition(END)[2]
    )


def table(results: list[dict[str, Any]], source: Path) -> str:
    """The Markdown table, one row for each method and entry layer."""
    names = ("recipe", "enters at", "exact match (per seed)", "of ceiling", *CONTROLS, "trained", "training")
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in results:
        groups.setdefault((cell["recipe"], cell.get("layer"), cell.get("positions")), []).append(cell)
    for (name, layer, rule), group in groups.items():
        group.sort(key=lambda cell: cell["seed"])
        accuracy = [cell["eval"]["accuracy"] for cell in group]
        control = {key: mean(cell["eval"][key] for cell in group) for key in ("ceiling", *CONTROLS)}
        entry = {"prepend": 0, "deep_insert": 4, "ep_alm": "4..6"}[name] if layer is None else layer
        alone = [cell["train"]["seconds"] for cell in group if cell["threads"] > 1]
        seconds = f"{alone[0]:.0f} s" if alone else ""
        seeds = ", ".join(f"{100 * value:.1f}" for value in accuracy)
        share = 100 * mean(accuracy) / control["ceiling"]
        columns = [
            f"`{name}`" + (f", `{rule}` positions" if rule else ""),
            str(entry),
            f"**{100 * mean(accuracy):.1f}** ({seeds})",
            f"{share:.0f}%",
        ]
        columns += [f"{100 * control[key]:.1f}" for key in CONTROLS]
        rows.append(f"| {' | '.join([*columns, format(group[0]['trained_parameters'], ','), seconds])} |")
    facts = results[0]["eval"]["provenance"]
    ceiling = 100 * mean(cell["eval"]["ceiling"] for cell in results)
    note = (
        f"\nCeiling (the LM told in words what the picture shows): {ceiling:.1f}. {results[0]['eval']['n']} test "
        f"questions, seeds in brackets; `training` is seconds alone on both cores. torch {facts['versions']['torch']}, "
        f"transformers {facts['versions']['transformers']}. Raw: [{source.name}](benchmarks/{source.name}).\n"
    )
    return "\n".join(rows) + "\n" + note


if __name__ == "__main__":
    app()
