"""`midstream eval`: accuracy beside its controls."""

from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Bars, Debug, Plugins, emit, load, load_plugins, model_folder, show, told
from midstream.errors import InputError

WORDS = {
    "accuracy": "the model",
    "ceiling": "the language model, told in words",
    "blind": "no picture",
    "shuffled": "another row's picture",
    "untrained": "fresh connectors",
}


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's folder, or the shipped `pocket`.", metavar="MODEL")],
    n: Annotated[int | None, typer.Option("--n", min=1, help="Rows to ask about.", show_default="the recipe's")] = None,
    split: Annotated[str | None, typer.Option(help="Which rows.", show_default="the recipe's")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Data and settings of this recipe instead of the model's own.", metavar="RECIPE")
    ] = None,
    controls: Annotated[bool, typer.Option(help="Measure ceiling, blind, shuffled and untrained as well.")] = True,
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure how many questions a model answers, and how many it answers without eyes.

    [bold]Examples[/bold]

      midstream eval runs/deep_insert

      midstream eval pocket --split held_out --n 200 --json
    """
    with told(as_json, debug):
        load_plugins(plugins)
        from midstream.data.sources import open_rows

        settings = _settings(model, recipe)
        wanted = settings.evaluation
        rows = open_rows(settings.data, split or wanted.split, n or wanted.n)
        loaded, processor = load(model)
        from midstream.tasks.evaluation import evaluate as run

        with Bars() as bars:
            result = run(
                loaded,
                processor,
                rows,
                metric=wanted.metric,
                history=wanted.history,
                batch_size=wanted.batch_size,
                max_new_tokens=wanted.max_new_tokens,
                seed=wanted.seed,
                controls=controls,
                report=bars,
                recipe=settings.name,
                split=split or wanted.split,
                training_seed=settings.training.seed,
            )
        if as_json:
            emit(result)
        else:
            show(table(result))
            for reason in result["reasons"]:
                show(f"left out: {reason}")
            if (more := result["bad"] - len(result["reasons"])) > 0:
                show(f"and {more} more")


def _settings(model: str, recipe: str | None) -> Any:
    """The recipe that says what to evaluate on: the one given, or the one the model was trained with."""
    from midstream.recipe import load_recipe

    if recipe is not None:
        return load_recipe(recipe)
    folder = model_folder(model)
    if not (folder / "recipe.yaml").is_file():
        raise InputError(f"{model} has no recipe.yaml, so nothing says what to evaluate on; name a --recipe")
    return load_recipe(folder / "recipe.yaml")


def table(result: dict[str, Any]) -> Any:
    """The result as a table for people."""
    from rich.table import Table

    bad = f"; rows that could not be read: {result['bad']}" if result.get("bad") else ""
    shown = Table(title=f"{result['n']} questions, {result['metric']}{bad}", title_justify="left")
    shown.add_column("what is shown")
    shown.add_column("score", justify="right")
    for name, words in WORDS.items():
        if result.get(name) is not None:
            shown.add_row(words if name == "accuracy" else f"{name}: {words}", f"{result[name]:.1%}")
    shown.add_section()
    for kind, score in result["by_type"].items():
        shown.add_row(f"the model on {kind}", f"{score:.1%}")
    return shown
