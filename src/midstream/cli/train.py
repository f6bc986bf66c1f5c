"""`midstream train`: a recipe, from its name to a saved model."""

from pathlib import Path
from typing import Annotated

import typer

from midstream.cli.console import AsJson, Bars, Debug, emit, quiet_bars, show, stderr, told


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
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train the connectors of a recipe. The language model and the encoders stay as they are.

    [bold]Examples[/bold]

      midstream train deep_insert

      midstream train deep_insert --set training.steps=400 --set modalities.image.schedule.layer=4 --out runs/layer4

      midstream train my_recipe.yaml --resume

      midstream train opt27b_vit_vqav2 --smoke
    """
    with told(as_json, debug):
        from midstream.recipe import load_recipe

        settings = load_recipe(recipe, overrides)
        folder = out or Path("runs") / (settings.name + ("-smoke" if smoke else ""))
        stderr.print(f"loading the parts of {settings.name}", highlight=False)
        quiet_bars()
        if smoke:
            from midstream.smoke import smoke as cut_down

            settings = cut_down(settings, folder.with_name(folder.name + "-parts"))
        from midstream.training import train as run

        with Bars() as bars:
            result = run(settings, folder, resume=resume, force=force, report=bars)
        if as_json:
            emit(
                {"model": str(folder), "steps": result.steps, "seconds": round(result.seconds, 1), "loss": result.loss}
            )
        else:
            show(f"{result.steps} steps in {result.seconds:.0f} s, loss {result.loss:.4f}; the model is in {folder}")
            show(
                f'try: midstream eval {folder}   or: midstream ask {folder} --image photo.png "what is in the picture?"'
            )
