"""`midstream train`: a recipe, from its name to a saved model."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Bars, Debug, Plugins, emit, load_plugins, quiet_bars, show, stderr, told
from midstream.errors import InputError


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.", metavar="RECIPE")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model.", show_default="runs/RECIPE")] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps, with tiny random stand-ins for what is not at hand.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on exactly where an interrupted run stopped.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the model at --out, drop an interrupted run.")
    ] = False,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Compute once and read back what training does not change: the encoders' `features`, or also the "
            "text's hidden `states` at the entry layer; `none` for neither. Short for --set training.cache.",
            metavar="none|features|states",
            show_default="the recipe's",
        ),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            help="The cache's folder.", show_default="one of its own in $MIDSTREAM_CACHE or ~/.cache/midstream"
        ),
    ] = None,
    rebuild_cache: Annotated[
        bool, typer.Option("--rebuild-cache", help="Replace the cache at --cache-dir when it is of something else.")
    ] = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train the connectors of a recipe. The language model and the encoders stay as they are.

    [bold]Examples[/bold]

      midstream train deep_insert

      midstream train deep_insert --set training.steps=400 --set modalities.image.schedule.layer=4 --out runs/layer4

      midstream train deep_insert --cache states

      midstream train my_recipe.yaml --resume

      midstream train opt27b_vit_vqav2 --smoke
    """
    with told(as_json, debug):
        load_plugins(plugins)
        from midstream.recipe import load_recipe

        short = [] if cache is None else [f"training.cache={cache}"]
        settings = load_recipe(recipe, [*(overrides or []), *short])
        if settings.training.cache == "none" and (cache_dir or rebuild_cache):
            raise InputError("--cache-dir and --rebuild-cache need a cache; add --cache features or --cache states")
        folder = out or Path("runs") / (settings.name + ("-smoke" if smoke else ""))
        stderr.print(f"loading the parts of {settings.name}", highlight=False)
        quiet_bars()
        if smoke:
            from midstream.smoke import smoke as cut_down

            settings = cut_down(settings, folder.with_name(folder.name + "-parts"))
        from midstream.training import Caching
        from midstream.training import train as run

        with Bars() as bars:
            caching = Caching(cache_dir, rebuild_cache)
            result = run(settings, folder, resume=resume, force=force, caching=caching, report=bars)
        if os.environ.get("RANK", "0") != "0":
            return  # of many processes the first one tells
        if as_json:
            emit(_told(result))
        else:
            show(f"{result.steps} steps in {result.seconds:.0f} s, loss {result.loss:.4f}; the model is in {folder}")
            if result.cache is not None:
                show(f"the cache took {result.cache_seconds:.0f} s and is in {result.cache}")
            show(f"try: midstream eval {folder}   or: {_asking(settings, folder)}")


GIVEN = {
    "image": "--image photo.png",
    "audio": "--audio sound.wav",
    "video": "--video clip.mp4",
    "molecule": "--smiles CCO",
    "series": "--series series.csv",
    "table": "--row name=value",
}
"""How a medium is given to `midstream ask`."""


def _asking(recipe: Any, folder: Path) -> str:
    """A command that asks the trained model about what it senses."""
    senses = {name: part.medium or name for name, part in recipe.modalities.items() if part.encoder != "soft_prompt"}
    kinds = list(senses.values())
    given = [
        GIVEN[kind]
        if kind in GIVEN and (name == kind or (kind not in senses and kinds.count(kind) == 1))
        else f"--media {name}=FILE"  # two of a kind are told apart by name
        for name, kind in senses.items()
    ]
    return f'midstream ask {folder} {" ".join(given)} "..."'


def _told(result: Any) -> dict[str, Any]:
    found = {
        "model": str(result.folder),
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "loss": result.loss,
    }
    if result.cache is None:
        return found
    return found | {"cache": str(result.cache), "cache_seconds": round(result.cache_seconds, 1)}
