"""`midstream info`: what a model or a recipe is made of, and its schedule drawn layer by layer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Debug, Plugins, emit, load_plugins, quiet_bars, show, told
from midstream.schedule import LEGEND


def info(
    source: Annotated[
        str, typer.Argument(help="A model's folder, the shipped `pocket`, or a recipe.", metavar="MODEL|RECIPE")
    ],
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the schedules into this file (.png, .svg, .pdf).", metavar="FILE")
    ] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show parts, frozen and trained counts, and which layers see which tokens.

    A recipe whose parts would have to be downloaded is described without counts.

    [bold]Examples[/bold]

      midstream info pocket

      midstream info runs/deep_insert --json

      midstream info opt27b_vit_vqav2

      midstream info pocket --picture schedule.png
    """
    with told(as_json, debug):
        load_plugins(plugins)
        quiet_bars()
        found = _of_model(source) if _is_model(source) else _of_recipe(source)
        if picture:
            _draw(found, picture)
        if as_json:
            emit(found)
        else:
            show(_page(found))


def _draw(found: dict[str, Any], picture: Path) -> None:
    from midstream.errors import InputError
    from midstream.pictures import draw_schedules
    from midstream.presets import preset
    from midstream.schedule import Schedule

    if "layers" not in found:
        raise InputError(f"how many layers {found['lm']} has is not known here; load it, or draw a trained model")
    schedules = {}
    for name, part in found["modalities"].items():
        written = dict(part["schedule"])
        schedules[name] = (
            preset(written.pop("preset"), **written) if "preset" in written else Schedule.from_dict(written)
        )
    draw_schedules(schedules, found["layers"], picture)


def _is_model(source: str) -> bool:
    from midstream import pocket

    return source in pocket.model_names() or Path(source).is_dir()


def _of_model(source: str) -> dict[str, Any]:
    from midstream import MidstreamForCausalLM

    return {"model": source, **_of_loaded(MidstreamForCausalLM.from_pretrained(source))}


def _of_loaded(model: Any) -> dict[str, Any]:
    parts = [
        {"part": part, "frozen": frozen, "trained": trained} for part, frozen, trained in model.trainable_summary()
    ]
    trained, total = sum(p["trained"] for p in parts), sum(p["trained"] + p["frozen"] for p in parts)
    modalities = {
        name: {key: part[key] for key in ("encoder", "features", "connector", "schedule") if key in part}
        for name, part in model.config.modalities.items()
    }
    return {
        "lm": model.config.lm,
        "layers": model.config.get_text_config().num_hidden_layers,
        "positions": model.config.positions,
        "modalities": modalities,
        "parts": parts,
        "trained_share": trained / total,
        "drawing": model.describe_schedules(),
    }


def _of_recipe(source: str) -> dict[str, Any]:
    from midstream.own import is_known
    from midstream.recipe import load_recipe

    recipe = load_recipe(source)
    found: dict[str, Any] = {"recipe": recipe.name, "description": recipe.description}
    names = [recipe.lm, *(modality.encoder for modality in recipe.modalities.values())]
    if all(name in ("pocket", "soft_prompt") or Path(name).is_dir() or is_known(name) for name in names):
        from midstream.building import build_model

        found |= _of_loaded(build_model(recipe))
    else:
        found |= {
            "lm": recipe.lm,
            "positions": recipe.positions,
            "modalities": recipe.model_dump(mode="json")["modalities"],
        }
        layers = (recipe.smoke.lm or {}).get("num_hidden_layers")
        if layers:
            found |= {"layers": layers, "drawing": _drawing(recipe, layers)}
    return found | {"training": recipe.training.model_dump(), "data": recipe.data.model_dump(mode="json")}


def _drawing(recipe: Any, layers: int) -> str:
    from midstream.presets import preset

    lines = []
    for name, modality in recipe.modalities.items():
        schedule = preset(modality.schedule.preset, **modality.schedule.model_dump(exclude={"preset"}))
        lines.append(f"{name:>10}  {schedule.draw(layers)}")
    return "\n".join(lines)


def _kind_first(item: tuple[str, Any]) -> bool:
    return item[0] != "kind"


def _page(found: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines = [f"{found.get('model') or found['recipe']}  {found.get('description', '')}".rstrip()]
    lines.append(f"language model {found['lm']}, {found.get('layers', '?')} layers, positions {found['positions']}")
    for name, part in found["modalities"].items():
        kind, *options = (f"{key} {value}" for key, value in sorted(part["connector"].items(), key=_kind_first))
        lines.append(
            f"{name}: encoder {part['encoder']}, connector {', '.join([kind.removeprefix('kind '), *options])}"
        )
    blocks: list[Any] = [Text("\n".join(lines))]
    if "parts" in found:
        counts = Table("part", title_justify="left")
        counts.add_column("frozen", justify="right")
        counts.add_column("trained", justify="right")
        for part in found["parts"]:
            counts.add_row(part["part"], f"{part['frozen']:,}", f"{part['trained']:,}")
        blocks += [counts, Text(f"trained: {found['trained_share']:.2%} of all parameters")]
    if "drawing" in found:
        blocks.append(Text(f"\nlayer by layer ({LEGEND})\n" + found["drawing"]))
    return Group(*blocks)
