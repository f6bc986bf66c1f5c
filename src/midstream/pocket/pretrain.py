"""Trains what ships with pocket: ``python -m midstream.pocket.pretrain lm|lm-opt|lm-deep|encoder|audio|...``.

Owns the command line and the provenance file; the work is in `lm_training` and `fitting`, what an encoder learns in
each world's `encoder_training`.

All are unimodal: the language model reads text only, an encoder sees its own medium and class ids only. Budgets are
wall-clock minutes, so a faster machine reads more in the same time; on a GPU give fewer. A killed ``lm`` run goes on
from its last save when started again with the same ``--work``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from midstream.errors import InputError
from midstream.pocket import encoder_path, lm_name, lm_path
from midstream.pocket.sizes import WIDTH, heads_of

ENCODERS: Final = {
    "encoder": ("midstream.pocket.encoder_training", 14.0),
    "audio": ("midstream.pocket.sounds.encoder_training", 12.0),
    "video": ("midstream.pocket.motion.encoder_training", 12.0),
    "molecule": ("midstream.pocket.molecules.encoder_training", 8.0),
    "series": ("midstream.pocket.series.encoder_training", 4.0),
}
"""Part -> its course (see `midstream.pocket.fitting`), and its budget in minutes."""
LMS: Final[dict[str, tuple[Any, float]]] = {
    "lm": ("pocket", 29.0),
    "lm-opt": ("opt", 24.0),
    "lm-deep": ("deeper", 12.0),
}
"""Part -> its course (see `midstream.pocket.lm_training`), and its budget in minutes."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m midstream.pocket.pretrain",
        description="Train the pocket language model or a pocket encoder (`encoder` reads pictures) from nothing.",
        epilog="examples:  ... pretrain lm --minutes 29    ... pretrain encoder --minutes 14 --out my/encoder",
    )
    parser.add_argument("part", choices=(*LMS, *ENCODERS))
    budgets = {name: minutes for parts in (LMS, ENCODERS) for name, (_, minutes) in parts.items()}
    told = ", ".join(f"{minutes:g} for {part}" for part, minutes in budgets.items())
    parser.add_argument("--minutes", type=float, help=f"wall-clock budget (default: {told})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--out", type=Path, help="folder to write (default: the shipped one)")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of a model that is begun (default: {WIDTH})")
    parser.add_argument("--prose", type=Path, help="lm only: folder of .txt files to read beside the English at hand")
    parser.add_argument("--known", type=Path, help="a second course, of the model in this folder")
    parser.add_argument(
        "--work", type=Path, help="language models only: folder for the resumable state (default: OUT with '.work')"
    )
    return parser


def _machine(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(0)
    return f"{os.cpu_count()} CPU cores, {platform.machine()}, {torch.get_num_threads()} threads, bfloat16 autocast"


def _provenance(arguments: argparse.Namespace, device: str, figures: dict[str, Any], metrics: dict[str, Any]) -> str:
    second = arguments.known and arguments.known != lm_path()
    part = f"{arguments.part} --known FIRST_COURSE" if second else arguments.part
    command = f"python -m midstream.pocket.pretrain {part} --minutes {arguments.minutes:g} --seed {arguments.seed}"
    command += f" --width {arguments.width}" if arguments.width != WIDTH else ""
    command += " --prose FOLDER" if arguments.prose else ""
    packages = ("torch", "transformers", "tokenizers", "numpy", "pillow")
    record = {
        "command": command,
        "seed": arguments.seed,
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": _machine(device),
        **figures,
        "metrics": metrics,
    }
    return json.dumps(record, indent=2) + "\n"


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def _train_lm(arguments: argparse.Namespace, device: str) -> None:
    import torch

    from midstream.pocket import lm_evaluation, lm_training
    from midstream.pocket.widening import WORLDS

    course = LMS[arguments.part][0]
    if course != "pocket" and arguments.known is None:
        arguments.known = lm_path()
    wide = arguments.known is not None and course == "pocket"
    work = arguments.work or arguments.out.with_name(arguments.out.name + ".work")
    model, tokenizer, figures = lm_training.train(
        arguments.minutes,
        arguments.seed,
        torch.device(device),
        work,
        _say,
        known=arguments.known,
        course=course,
        width=arguments.width,
        more_prose=arguments.prose,
    )
    _say("measuring with greedy generation on described test scenes")
    model.set_attn_implementation("sdpa")
    measured: dict[str, Any] = {"split": "test", "scenes": 300, "questions": 2700, "described_exact_match": {}}
    for world in ("", *(world.package for world in WORLDS)) if wide else ("",):
        rows = lm_evaluation.described_scenes("test", 300, 8, world=world)
        shares = lm_evaluation.generated(model, tokenizer, rows)
        measured["described_exact_match"][world or "pictures"] = {k: round(v, 4) for k, v in shares.items()}
        _say(f"{world or 'pictures'} {json.dumps(measured['described_exact_match'][world or 'pictures'])}")
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    if arguments.known and course != "opt" and (arguments.known / "provenance.json").is_file():
        figures["first_course"] = json.loads((arguments.known / "provenance.json").read_text())
    (arguments.out / "provenance.json").write_text(_provenance(arguments, device, figures, measured))


def _train_encoder(arguments: argparse.Namespace, device: str) -> None:
    import torch

    from midstream.pocket.fitting import pretrain

    course = import_module(ENCODERS[arguments.part][0])
    model, figures = pretrain(
        course,
        arguments.minutes,
        arguments.seed,
        torch.device(device),
        _say,
        known=arguments.known,
        width=arguments.width,
    )
    if arguments.known:
        figures["first_course"] = json.loads((arguments.known / "provenance.json").read_text())
    metrics = course.tagging_accuracy(model, "test", batches=12)
    course.save(model, arguments.out)
    (arguments.out / "provenance.json").write_text(_provenance(arguments, device, figures, {"test": metrics}))
    _say(json.dumps(metrics))


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what would fail only after minutes, or replace what ships.

    Raises:
        InputError: says what is wrong with the arguments, and what to do.
    """
    if arguments.minutes <= 0:
        raise InputError(f"--minutes must be above 0, not {arguments.minutes:g}")
    if arguments.width == WIDTH:
        return
    try:
        heads_of(arguments.width)
    except InputError as error:
        raise InputError(f"--{error}") from None
    if arguments.known or arguments.part in ("lm-opt", "lm-deep"):
        raise InputError(
            f"--width {arguments.width} is for a model that is begun by lm or an encoder; leave it out here"
        )
    if arguments.out is None:
        raise InputError(
            f"--width {arguments.width} would replace the shipped {arguments.part}; name a folder with --out"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if arguments.device == "auto" else arguments.device
    if arguments.minutes is None:
        arguments.minutes = (LMS | ENCODERS)[arguments.part][1]
    is_lm = arguments.part in LMS
    try:
        _check(arguments)
        arguments.out = arguments.out or (lm_path(lm_name(arguments.part)) if is_lm else encoder_path(arguments.part))
        (_train_lm if is_lm else _train_encoder)(arguments, device)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
