"""What a model of moving things still answers when its clip stands still: the one-frame control.

    python benchmarks/one_frame.py pocket-video --n 600

Every question is asked about the clip, about the clip that shows its fifth frame all the time, about no clip, about
another clip, and in words. Kinds of questions that need motion are told apart from those that one frame answers
(`midstream.pocket.motion.language`). Accuracies come with the half-width of their 95 per cent interval.
"""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from midstream.cli.console import load
from midstream.pocket.motion.data import example, one_frame
from midstream.pocket.motion.language import FRAME_TYPES, MOTION_TYPES
from midstream.tasks.evaluation import evaluate


def shares(scores: list[float], kinds: list[str]) -> dict[str, tuple[float, float]]:
    """Accuracy and half-width of its interval: of all questions, of those that need motion or not, of each kind."""
    groups = {"all": (*MOTION_TYPES, *FRAME_TYPES), "motion": MOTION_TYPES, "frame": FRAME_TYPES}
    found = {}
    for name, wanted in [*groups.items(), *((kind, (kind,)) for kind in sorted(set(kinds)))]:
        hits = [score for score, kind in zip(scores, kinds, strict=True) if kind in wanted]
        if hits:
            mean = sum(hits) / len(hits)
            found[name] = (round(mean, 4), round(1.96 * math.sqrt(mean * (1 - mean) / len(hits)), 4))
    return found


def main(
    model: Annotated[str, typer.Argument(help="A shipped model, or the folder of a run.")] = "pocket-video",
    n: Annotated[int, typer.Option(help="Clips, one question each.")] = 600,
    split: Annotated[str, typer.Option(help="test or held_out.")] = "test",
    out: Annotated[Path | None, typer.Option(help="The result.", show_default="benchmarks/one_frame_...json")] = None,
) -> None:
    """Measure, print, and write the result."""
    loaded, processor = load(model)
    rows: list[Any] = [example(split, index, 0, 1, include_describe=False) for index in range(n)]  # type: ignore[arg-type]
    whole = evaluate(loaded, processor, rows, detailed=True, source=model, split=split)
    still = evaluate(loaded, processor, [one_frame(row) for row in rows], detailed=True, controls=False)
    kinds = [kind for _, kind in whole["asked"]]
    conditions = whole["scores"] | {"one_frame": still["scores"]["accuracy"]}
    result: dict[str, Any] = {name: shares(scores, kinds) for name, scores in conditions.items()}
    result |= {"n": whole["n"], "questions": {kind: kinds.count(kind) for kind in sorted(set(kinds))}}
    result["provenance"] = whole["provenance"]
    hardware = "cuda" if torch.cuda.is_available() else f"{torch.get_num_threads()}core_cpu"
    out = out or Path(__file__).parent / f"one_frame_{hardware}_{time.strftime('%Y-%m-%d')}.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    for name in conditions:
        print(name, json.dumps(result[name]), flush=True)


if __name__ == "__main__":
    typer.run(main)
