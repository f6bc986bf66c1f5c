"""What a pocket recipe learns at each entry layer, beside every control.

    python benchmarks/pocket_worlds.py audio --layers 0,2,4,6
    python benchmarks/pocket_worlds.py audio --layers 0,2,4,6 --n 200 --set training.steps=200
    python benchmarks/pocket_worlds.py picture_and_sound --layers 2,image=2+audio=4

For each entry `midstream train` with the schedule's layer changed, then `midstream eval` on the test split with all
controls and on the held-out split without. An entry is a layer for all modalities, or `name=layer` joined by `+`; in
the result it is named with the settings that were changed. The result is written after each entry, so that what is
interrupted keeps what it has; entries that are in the file already are left as they are, unless --again.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from midstream.provenance import provenance
from midstream.recipe import load_recipe


def midstream(*arguments: str) -> Any:
    """What a command of the command line interface prints as JSON; its progress goes where ours goes."""
    run = subprocess.run([sys.executable, "-m", "midstream", *arguments, "--json"], stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise SystemExit(f"midstream {' '.join(arguments)} failed: {run.stdout.decode()}")
    return json.loads(run.stdout.decode().strip().splitlines()[-1])


def layers_of(entry: str, modalities: list[str]) -> dict[str, int]:
    """Modality -> entry layer, from `2` or `image=2+audio=4`."""
    if "=" not in entry:
        return dict.fromkeys(modalities, int(entry))
    return {name: int(layer) for name, layer in (part.split("=") for part in entry.split("+"))}


def measure(recipe: str, layers: dict[str, int], n: int, folder: Path, changes: list[str]) -> dict[str, Any]:
    """Train one model and ask it."""
    changes = changes + [f"modalities.{name}.schedule.layer={layer}" for name, layer in layers.items()]
    sets = [word for change in changes for word in ("--set", change)]
    began = time.monotonic()
    trained = midstream("train", recipe, *sets, "--out", str(folder), "--force")
    seconds = round(time.monotonic() - began, 1)
    test = midstream("eval", str(folder), "--n", str(n), "--split", "test")
    test.pop("provenance")
    held_out = midstream("eval", str(folder), "--n", str(n), "--split", "held_out", "--no-controls")
    return {
        "layers": layers,
        "steps": trained["steps"],
        "loss": trained["loss"],
        "seconds_with_cache_and_start": seconds,
        "test": test,
        "held_out": {"accuracy": held_out["accuracy"], "n": held_out["n"]},
    }


def main(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe of a pocket world, or a YAML file.")],
    layers: Annotated[str, typer.Option(help="Entries, with commas between.")] = "0,2,4,6",
    n: Annotated[int, typer.Option(help="Rows of each evaluation.")] = 300,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Change a setting of the recipe.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the models.")] = Path("runs"),
    again: Annotated[bool, typer.Option(help="Measure entries that the file has already, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="The result.", show_default="benchmarks/RECIPE_...json")] = None,
) -> None:
    """Measure, print, and write the result."""
    settings = load_recipe(recipe, changes or [])
    cores = torch.get_num_threads()
    named = f"{settings.name}_{'cuda' if torch.cuda.is_available() else f'{cores}core_cpu'}_{time.strftime('%Y-%m-%d')}"
    out = out or Path(__file__).parent / f"{named}.json"
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"recipe": settings.name, "entries": {}}
    for entry in layers.split(","):
        key = f"{entry} ({', '.join(changes)})" if changes else entry
        if key in result["entries"] and not again:
            continue
        folder = runs / re.sub(r"\W+", "-", f"{settings.name} {key}").strip("-")
        found = measure(recipe, layers_of(entry, list(settings.modalities)), n, folder, changes or [])
        result["entries"][key] = found
        result["provenance"] = provenance(seed=settings.training.seed, clock="monotonic")
        out.write_text(json.dumps(result, indent=1) + "\n")
        scores = {name: found["test"][name] for name in ("accuracy", "ceiling", "blind", "shuffled", "untrained")}
        print(key, json.dumps(scores | {"held_out": found["held_out"]["accuracy"]}), flush=True)


if __name__ == "__main__":
    typer.run(main)
