"""`midstream eval`: accuracy beside its controls."""

import os
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
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
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

      midstream eval runs/captions --set evaluation.metric=cider
    """
    with told(as_json, debug):
        load_plugins(plugins)
        from midstream.data.sources import open_rows

        settings = _settings(model, recipe, overrides or [])
        wanted = settings.evaluation
        rows = open_rows(settings.data, split or wanted.split, n or wanted.n)
        from midstream.tasks.evaluation import evaluate as run
        from midstream.tasks.sharing import processes

        processes()  # of many, each takes its own device before anything is put on one
        loaded, processor = load(model)
        with Bars() as bars:
            result = run(
                loaded,
                processor,
                rows,
                **wanted.model_dump(exclude={"split", "n"}),
                controls=controls,
                report=bars,
                recipe=settings.name,
                split=split or wanted.split,
                training_seed=settings.training.seed,
            )
        if os.environ.get("RANK", "0") != "0":
            return  # of many processes the first one tells
        if as_json:
            emit(result)
        else:
            show(table(result))
            for reason in result["reasons"]:
                show(f"left out: {reason}")
            if (more := result["bad"] - len(result["reasons"])) > 0:
                show(f"and {more} more")


def _settings(model: str, recipe: str | None, overrides: list[str]) -> Any:
    """The recipe that says what to evaluate on: the one given, or the one the model was trained with."""
    from midstream.recipe import load_recipe

    if recipe is not None:
        return load_recipe(recipe, overrides)
    folder = model_folder(model)
    if not (folder / "recipe.yaml").is_file():
        raise InputError(f"{model} has no recipe.yaml, so nothing says what to evaluate on; name a --recipe")
    return load_recipe(folder / "recipe.yaml", overrides)


def table(result: dict[str, Any]) -> Any:
    """The result as a table for people."""
    from rich.table import Table

    from midstream.tasks.metrics import METRICS

    best = METRICS[result["metric"]].best
    bad = f"; rows that could not be read: {result['bad']}" if result.get("bad") else ""
    shown = Table(title=f"{result['n']} questions, {result['metric']}{bad}", title_justify="left")
    shown.add_column("what is shown")
    shown.add_column("score", justify="right")
    for name, words in WORDS.items():
        if result.get(name) is not None:
            shown.add_row(words if name == "accuracy" else f"{name}: {words}", number(result[name], best))
    shown.add_section()
    for kind, score in result["by_type"].items():
        shown.add_row(f"the model on {kind}", number(score, best))
    if len(result["metrics"]) > 1:
        shown.add_section()
        for name, score in result["metrics"].items():
            shown.add_row(f"the model's {name}", number(score, METRICS[name].best if name in METRICS else None))
    return shown


def number(score: float, best: float | None) -> str:
    """A score for people: per cent where 1 is the best, else as it is."""
    return f"{score:.1%}" if best == 1 else f"{score:.2f}"
