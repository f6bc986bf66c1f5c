"""What another schedule saves an existing model: prefill of LLaVA as it is, and retrofitted, on random weights.

    python benchmarks/retrofit.py --rounds 5 --cpu-time --out benchmarks/retrofit_2core_cpu_2026-11-22.json

The text model is a Llama of GPT-2's shape (12 layers, 768 wide), the picture gives 576 tokens as at 336 pixels. The
vision tower is small on purpose (2 layers, 64 wide): no schedule changes what it costs. Each round runs every schedule
once, in the opposite order every other round; ratios to the untouched model are taken within a round. FLOPs are
counted by PyTorch on the same calls. Under `prepend` nothing is saved: its ratio is what the retrofit itself costs.
"""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from midstream import Schedule, deep_insert, fastv, prepend, retrofit, shortv, vtw
from midstream.cost.measure import interleaved, peak_bytes, ratios, share_of_saving, spread
from midstream.cost.subjects import twin
from midstream.provenance import provenance

OWN = "untouched"
MEDIA = 3


def llava(depth: int, width: int, side: int) -> LlavaForConditionalGeneration:
    """Random weights; `side` x `side` picture tokens."""
    text = LlamaConfig(
        vocab_size=32000,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=depth,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=4096,
    )
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = CLIPVisionConfig(image_size=14 * side, patch_size=14, **sizes)
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=MEDIA, image_seq_length=side**2)
    return LlavaForConditionalGeneration(config).eval()


def schedules(depth: int) -> dict[str, Schedule]:
    """What is compared, for this many layers."""
    half = depth // 2
    return {
        "prepend()": prepend(),
        f"deep_insert({half})": deep_insert(half),
        f"vtw({half})": vtw(half),
        "fastv(2, 0.5)": fastv(2, 0.5),
        f"shortv(last {half})": shortv(tuple(range(depth - half, depth))),
    }


@torch.no_grad()
def main(
    depth: int = 12,
    width: int = 768,
    side: int = 24,
    text: int = 64,
    rounds: int = 21,
    cpu_time: Annotated[bool, typer.Option("--cpu-time", help="Leave out what others run.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the result here.")] = None,
) -> None:
    """Measure, print, and write the result."""
    torch.manual_seed(0)
    model = llava(depth, width, side)
    words = torch.randint(10, 32000, (1, text))
    ids = torch.cat([words[:, : text // 2], torch.full((1, side**2), MEDIA), words[:, text // 2 :]], dim=1)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": True, "logits_to_keep": 1}
    inputs["pixel_values"] = torch.randn(1, 3, 14 * side, 14 * side)
    compared = schedules(depth)
    subjects: dict[str, Any] = {OWN: model}
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        for name, schedule in compared.items():
            subjects[name] = stack.enter_context(retrofit(twin(model), schedule))
        runs = {name: (lambda one=subject: one(**inputs)) for name, subject in subjects.items()}
        expected, own = (runs[name]().logits for name in (OWN, "prepend()"))
        assert torch.allclose(expected, own, rtol=1e-4, atol=1e-4), "prepend() does not do the model's own work"
        flops = {name: counted(run) for name, run in runs.items()}
        peaks = {name: peak_bytes(run) for name, run in runs.items()}
        seconds = interleaved(runs, rounds, clock=time.process_time if cpu_time else time.perf_counter)
    for name in subjects:
        promised, measured = flops[name] / flops[OWN], ratios(seconds, name, OWN)
        found[name] = {
            "drawing": compared[name].draw(depth) if name in compared else "",
            "seconds": spread(seconds[name]),
            "ratio": measured,
            "flops_ratio": promised,
            "share_of_saving": share_of_saving(measured["median"], promised),
            "peak_bytes": peaks[name],
        }
        typer.echo(f"{name:18} {measured['median']:.3f} of the time, {promised:.3f} of the FLOPs", err=True)
    result = {"depth": depth, "width": width, "tokens": side**2, "text": text, "rounds": rounds, "prefill": found}
    result |= {"clock": "CPU time" if cpu_time else "wall", "threads": torch.get_num_threads()}
    result |= {"provenance": provenance(seed=0)}
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def counted(run: Any) -> int:
    """FLOPs of one run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


if __name__ == "__main__":
    typer.run(main)
