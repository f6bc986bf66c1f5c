"""`midstream cost`: what schedules cost on paper, from configs alone."""

from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Debug, emit, quiet_bars, show, told

UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}


def cost(
    source: Annotated[
        str,
        typer.Argument(
            help="A known shape like `llama-7b`, a config's folder or JSON file, a hub id, a trained model, a recipe.",
            metavar="LM|MODEL|RECIPE",
        ),
    ],
    schedules: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule",
            metavar="SCHEDULE",
            help="What to compare, such as `deep_insert:L/2` or `fastv:2:0.5`; may be repeated.",
            show_default="a quarter, half and three quarters of the depth; a model's or recipe's own",
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Count this encoder, and as many tokens as it gives.", metavar="ENCODER")
    ] = None,
    connector: Annotated[str, typer.Option(help="linear, mlp or resampler.")] = "linear",
    tokens: Annotated[int, typer.Option(help="Features of a slot, where no encoder says.")] = 576,
    width: Annotated[int, typer.Option(help="Width of the features, where no encoder says.")] = 1024,
    text: Annotated[int, typer.Option(help="Text tokens of a row.")] = 64,
    slots: Annotated[int, typer.Option(help="Pictures of a row.")] = 1,
    batch: Annotated[int, typer.Option(help="Rows.")] = 1,
    targets: Annotated[
        int | None, typer.Option(help="Text tokens of a row that training learns.", show_default="all")
    ] = None,
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = "bfloat16",
    train_lm: Annotated[bool, typer.Option("--train-lm", help="Train the language model too.")] = False,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Count what schedules cost, from configs alone: FLOPs, cache and memory, in total and per layer.

    Everything stands beside entry at 0 (ordinary concatenation) and text alone. No weights are loaded.

    [bold]Examples[/bold]

      midstream cost llama-7b

      midstream cost opt-125m --tokens 576 --text 64 --schedule deep_insert:L/2 --layers

      midstream cost llama-70b --encoder clip-vit-l-14-336 --schedule fastv:2:0.5 --schedule vtw:L/2 --json

      midstream cost llama7b_clip_deepinsert
    """
    with told(as_json, debug):
        quiet_bars()
        found = _count(
            source, schedules, encoder, connector, (tokens, width), (text, slots, batch, targets), dtype, train_lm
        )
        if as_json:
            emit(found)
        else:
            show(_page(found, layers))


def _count(
    source: str,
    schedules: list[str] | None,
    encoder: str | None,
    connector: str,
    features: tuple[int, int],
    amounts: tuple[int, int, int, int | None],
    dtype: str,
    train_lm: bool,
) -> dict[str, Any]:
    from midstream.cost.comparison import Given, chosen, compare
    from midstream.cost.ledger import Work
    from midstream.cost.shapes import read_shape
    from midstream.cost.sources import on_meta
    from midstream.errors import InputError
    from midstream.provenance import provenance

    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    text, slots, batch, targets = amounts
    if slots < 1:
        raise InputError(f"slots is {slots}; it must be at least 1")
    work, given = Work(batch, text, DTYPES[dtype], frozen=not train_lm, targets=targets), Given(*features)
    found, senses, compared = chosen(source, schedules, connector, encoder)
    shape = read_shape(on_meta(found.lm))
    return {
        "lm": found.name,
        "layers": len(shape.layers),
        "width": shape.width,
        "parameters": shape.parameters,
        "work": {
            "batch": batch,
            "text": text,
            "slots": slots,
            "targets": targets or text,
            "dtype": dtype,
            "lm_trained": train_lm,
        },
        "schedules": compare(shape, senses, compared, work, given, slots),
        "provenance": provenance(),
    }


def _page(found: dict[str, Any], layers: bool) -> Any:
    from rich.console import Group
    from rich.text import Text

    work, first = found["work"], found["schedules"][0]
    tokens = ", ".join(f"{count} {name} tokens" for name, count in first["tokens"].items())
    head = (
        f"{found['lm']}: {found['layers']} layers of width {found['width']:,}, {found['parameters']:,} parameters\n"
        f"{work['batch']} x ({work['text']} text, {tokens}), {work['dtype']}"
    )
    blocks: list[Any] = [Text(head), _totals(found["schedules"])]
    if layers:
        blocks += [_layers(row) for row in found["schedules"]]
    blocks.append(
        Text(
            "FLOPs of language model and connector, their share of entry at 0; memory is that of a training step.\n"
            "A decode step is one token's work, wherever the others entered."
        )
    )
    return Group(*blocks)


def _totals(rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("schedule", no_wrap=True)
    for name in ("prefill", "decode", "training", "cache", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        share = row["against_entry_0"] | {"memory": _memory(row) / _memory(rows[0])}
        trained = bool(row["tokens"]) or bool(row["weight_gradients"])
        sizes = {name: amount(row[name]) for name in ("prefill", "decode", "train")}
        sizes |= {"kv_bytes": amount(row["kv_bytes"]) + "B", "memory": amount(_memory(row)) + "B"}
        shown = [name for name in sizes if trained or name not in ("train", "memory")]
        percent = {name: "" if row is rows[0] else f" {share[name]:.0%}" for name in shown}
        table.add_row(row["schedule"], *(sizes[name] + percent[name] if name in shown else "" for name in sizes))
    return table


def _memory(row: dict[str, Any]) -> int:
    return sum(row[name] for name in ("parameter_bytes", "optimiser_bytes", "saved_bytes"))


COLUMNS = {
    "rows": "tokens",
    "readable": "read",
    "prefill": "prefill",
    "decode": "decode",
    "activation_gradients": "backward",
    "weight_gradients": "weights",
    "kv_bytes": "cache",
    "saved_bytes": "kept",
}
"""Figures of a layer, and what they are called: `weights` are their gradients, `kept` is for backward."""


def _layers(row: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    title = f"{row['schedule']}, layer by layer"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("layer", *COLUMNS.values()):
        table.add_column(name, justify="right", no_wrap=True)
    for index, layer in enumerate(row["layers"]):
        counts = [f"{layer[name]:,}" for name in ("rows", "readable")]
        table.add_row(str(index), *counts, *(amount(layer[name]) for name in list(COLUMNS)[2:]))
    return table


def amount(number: float) -> str:
    """A number of three digits with its decimal prefix."""
    size, prefix = next(((size, prefix) for size, prefix in UNITS if number >= size), (1.0, ""))
    return f"{number / size:.3g} {prefix}"
