"""`midstream demo`: the whole tour. Trains, measures, draws pictures, asks about them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Bars, Debug, emit, quiet_bars, show, stderr, told
from midstream.cli.evaluate import table

PICTURES = 4
ASKED = 3


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the model and the pictures.")] = Path("runs/demo"),
    recipe: Annotated[str, typer.Option(help="What to train.", metavar="RECIPE")] = "deep_insert",
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps only.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train deep_insert, evaluate it, and ask it about pictures it has never seen. Under five minutes on two cores.

    [bold]Example[/bold]

      midstream demo
    """
    with told(as_json, debug):
        from midstream.recipe import load_recipe

        settings = load_recipe(recipe)
        stderr.print(f"training {settings.name}: {settings.description}", highlight=False)
        quiet_bars()
        from midstream import MidstreamForCausalLM, MidstreamProcessor
        from midstream.data.sources import open_rows
        from midstream.smoke import smoke as cut_down
        from midstream.tasks.evaluation import evaluate
        from midstream.training import train

        if smoke:
            settings = cut_down(settings, out.with_name(out.name + "-parts"))
        wanted = settings.evaluation
        with Bars() as bars:
            trained = train(settings, out, force=True, report=bars)
            model, processor = MidstreamForCausalLM.from_pretrained(out), MidstreamProcessor.from_pretrained(out)
            rows = open_rows(settings.data, wanted.split, wanted.n)
            result = evaluate(model, processor, rows, report=bars, recipe=settings.name, split=wanted.split)
        answers = _ask_about_pictures(model, processor, out / "pictures")
        if as_json:
            emit({"model": str(out), "seconds": round(trained.seconds, 1), **result, "answers": answers})
            return
        show(table(result))
        show(_answers_table(answers))
        first = answers[0]
        show(f'the model is in {out}; try: midstream ask {out} --image {first["picture"]} "{first["question"]}"')


def _ask_about_pictures(model: Any, processor: Any, folder: Path) -> list[dict[str, str]]:
    """Write pictures of test scenes as PNG files, then ask about the files."""
    from midstream import pocket
    from midstream.data.rows import media_of
    from midstream.tasks.evaluation import answer
    from midstream.tasks.questions import questions_of

    folder.mkdir(parents=True, exist_ok=True)
    asked: list[dict[str, str]] = []
    prompts = []
    for index in range(PICTURES):
        row = pocket.example("test", index, questions_per_scene=ASKED, include_describe=False)
        path = folder / f"{index + 1}.png"
        media_of(row)[0].save(path)
        for question in questions_of(row):
            text = question.messages[-1]["content"][-1]["text"]
            content = [{"type": "image", "image": str(path)}, {"type": "text", "text": text}]
            prompts.append([{"role": "user", "content": content}])
            asked.append({"picture": str(path), "question": text, "truth": question.references[0]})
    answers = answer(model, processor, prompts, max_new_tokens=16)
    return [{**entry, "answer": said} for entry, said in zip(asked, answers, strict=True)]


def _answers_table(answers: list[dict[str, str]]) -> Any:
    from rich.table import Table

    shown = Table("picture", "question", "answer", "truth", title="pictures it has never seen", title_justify="left")
    for entry in answers:
        mark = "" if entry["answer"] == entry["truth"] else "  [red]x[/red]"
        shown.add_row(Path(entry["picture"]).name, entry["question"], entry["answer"] + mark, entry["truth"])
    return shown
