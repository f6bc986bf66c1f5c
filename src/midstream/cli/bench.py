"""`midstream bench`: what schedules cost on the clock, beside what they cost on paper."""

from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Bars, Debug, emit, quiet_bars, show, told
from midstream.cli.cost import amount

STAGES = {"prefill": "first token", "decode": "next token", "train": "training step"}
DTYPES = ("float32", "bfloat16", "float16")


def bench(
    source: Annotated[
        str,
        typer.Argument(
            help="A known shape, a config's folder or JSON file, a hub id, a trained model, a recipe.",
            metavar="LM|MODEL|RECIPE",
        ),
    ] = "opt-125m",
    schedules: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule",
            metavar="SCHEDULE",
            help="What to compare, such as `deep_insert:L/2`; may be repeated.",
            show_default="a quarter, half and three quarters of the depth; a model's or recipe's own",
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Run this encoder too, and as many tokens as it gives.", metavar="ENCODER")
    ] = None,
    connector: Annotated[str, typer.Option(help="linear, mlp or resampler.")] = "linear",
    tokens: Annotated[int, typer.Option(help="Features of a slot, where no encoder runs.")] = 576,
    width: Annotated[int, typer.Option(help="Width of the features, where no encoder runs.")] = 1024,
    text: Annotated[int, typer.Option(help="Text tokens of a row.")] = 64,
    slots: Annotated[int, typer.Option(help="Pictures of a row.")] = 1,
    batch: Annotated[int, typer.Option(help="Rows.")] = 1,
    stages: Annotated[str, typer.Option(help="What to measure, parted by commas.")] = ",".join(STAGES),
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each schedule.")] = 5,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.", show_default="cuda if there is one")] = None,
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="PyTorch's choice")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure schedules on random weights of true shape: first token, next token, training step, memory.

    Everything stands beside entry at 0 (ordinary concatenation) and text alone. Schedules take turns in each round;
    medians and quartiles are of ratios within a round. `arrives` is the share of the ledger's saving that is seen.

    [bold]Examples[/bold]

      midstream bench

      midstream bench opt-350m --schedule deep_insert:L/2 --tokens 576 --text 64 --stages train --json

      midstream bench llama-7b --device cuda --dtype bfloat16 --batch 16 --schedule deep_insert:L/4
    """
    with told(as_json, debug):
        quiet_bars()
        sense = (encoder, connector, tokens, width)
        setting = _setting((batch, text, slots), device, dtype, threads)
        found = _measure(source, schedules, sense, setting, _stages(stages), rounds)
        if as_json:
            emit(found)
        else:
            show(_page(found))


def _stages(text: str) -> list[str]:
    from midstream.errors import InputError

    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in STAGES]:
        raise InputError(f"stage {unknown[0]!r} is not one of {', '.join(STAGES)}")
    if not wanted:
        raise InputError(f"no stage is named; choose of {', '.join(STAGES)}")
    return wanted


def _setting(amounts: tuple[int, int, int], device: str | None, dtype: str, threads: int | None) -> Any:
    import torch

    from midstream.cost.subjects import Bench
    from midstream.errors import InputError

    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    batch, text, slots = amounts
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    setting = Bench(batch, text, slots, where, getattr(torch, dtype))
    if threads:
        torch.set_num_threads(threads)
    return setting


def _measure(
    source: str,
    schedules: list[str] | None,
    sense: tuple[str | None, str, int, int],
    setting: Any,
    stages: list[str],
    rounds: int,
) -> dict[str, Any]:
    from midstream.cost.bench import bench as run
    from midstream.cost.comparison import Given, chosen
    from midstream.provenance import provenance

    encoder, connector, tokens, width = sense
    found, senses, compared = chosen(source, schedules, connector, encoder)
    with Bars() as bars:
        result = run(found.lm, senses, compared, setting, rounds, Given(tokens, width), stages, bars)
    work = {"batch": setting.batch, "text": setting.text, "slots": setting.slots, "device": setting.device}
    return {
        "lm": found.name,
        "work": work | {"dtype": str(setting.dtype).removeprefix("torch.")},
        **result,
        "provenance": provenance(),
    }


def _page(found: dict[str, Any]) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    work = found["work"]
    stages = [stage for stage in STAGES if stage in next(iter(found["schedules"].values()))]
    blocks: list[Any] = [
        Text(
            f"{found['lm']}, random weights, {work['dtype']} on {work['device']}, batch {work['batch']}, "
            f"{work['text']} text tokens\n"
            f"ratio: to entry at 0, median of {found['rounds']} rounds; memory: beyond weights"
        )
    ]
    for stage in stages:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(STAGES[stage], no_wrap=True)
        for name in ("seconds", "ratio", "quartiles", "ledger", "arrives", "memory"):
            table.add_column(name, justify="right", no_wrap=True)
        for label, row in found["schedules"].items():
            if stage in row:
                table.add_row(label, *_cells(row[stage]))
        blocks.append(table)
    return Group(*blocks)


def _cells(figures: dict[str, Any]) -> list[str]:
    ratio, arrives = figures["ratio"], figures["measured_over_ledger"]
    return [
        f"{figures['seconds']['median']:.4f}",
        f"{ratio['median']:.3f}",
        f"{ratio['low']:.3f}-{ratio['high']:.3f}",
        f"{figures['ledger_ratio']:.3f}",
        "" if arrives is None else f"{arrives:.0%}",
        f"{amount(figures['peak_bytes'])}B {figures['peak_ratio']:.0%}",
    ]
