"""What entering later saves on the clock, beside the ledger, and beside Transformers' own LLaVA on the same work.

    python benchmarks/entry_depth.py --out benchmarks/entry_depth_2core_cpu_2026-11-22.json

Random weights of OPT-125M's shape in float32; time does not depend on them. Three parts:

    depth   first token, next token, training step (frozen LM, linear connector) and memory at k = 0, L/4, L/2, 3L/4,
            and text alone, by `midstream bench`'s own function
    speed   of one matrix product of the shape's FFN at the rows of a layer below and above the entry: what the machine
            loses on few rows, whatever runs it, is no saving for anyone
    llava   LlavaForConditionalGeneration around the same LM, vision tower and projector weights, against Midstream at
            entry 0 and L/2: the same picture, text, labels and trained projector; logits and loss are compared first.
            LLaVA's code takes no OPT, so the LM is a Llama of the same depth, width and products (FFN of 2,048, gated)

The vision tower is a tiny CLIP with as many patches as LLaVA-1.5's (24 x 24), so that it weighs nothing on either side.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from midstream.cost.bench import bench
from midstream.cost.comparison import Given, chosen
from midstream.cost.measure import interleaved, peak_bytes, ratios, spread
from midstream.cost.subjects import Bench, prefill, random_lm, training_step, twin
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, prepend
from midstream.provenance import provenance

TARGETS = {"measured_over_ledger": 0.97, "training_speedup_at_half": 1.8, "training_memory_saved_at_half": 0.35}
COLUMN = 4
"""Before which text column the picture stands."""

PATCHES = 576

LLAMA = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 2048}


def vision_tower() -> CLIPVisionModel:
    """Tiny, with 576 patches."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 32}
    return CLIPVisionModel(CLIPVisionConfig(image_size=96, patch_size=4, **sizes)).eval()


def llava_of(lm: Any, tower: CLIPVisionModel) -> LlavaForConditionalGeneration:
    """LLaVA around the tensors of `lm` and `tower`; only its projector is trained."""
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=lm.config,
        image_token_index=lm.config.vocab_size - 1,
        vision_feature_layer=-1,
        image_seq_length=PATCHES,
    )
    model = LlavaForConditionalGeneration(config).eval().requires_grad_(False)
    model.model.language_model.load_state_dict(lm.model.state_dict(), assign=True)
    model.lm_head.load_state_dict(lm.lm_head.state_dict(), assign=True)
    model.model.vision_tower.load_state_dict(tower.state_dict(), assign=True)
    model.requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    return model


def ours_of(lm: Any, tower: CLIPVisionModel, llava: Any, schedule: Any) -> MidstreamForCausalLM:
    """Midstream around the same tensors, with LLaVA's projector as it is now."""
    connector = {"kind": "mlp", "norm": False, "hidden": lm.config.hidden_size}
    features = {"layers": [-1], "tokens": "patches"}
    made = MidstreamForCausalLM.from_parts(twin(lm), image=Modality(tower, connector, schedule, features))
    projector, net = llava.model.multi_modal_projector, made.modalities["image"].connector.net
    net[1].load_state_dict(projector.linear_1.state_dict())
    net[3].load_state_dict(projector.linear_2.state_dict())
    return made


def inputs_of(config: Any, text: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """One picture and one text, for LLaVA and for Midstream, and LLaVA's labels."""
    ids, pixels = torch.randint(3, config.vocab_size - 1, (1, text)), torch.randn(1, 3, 96, 96)
    image = torch.full((1, PATCHES), config.vocab_size - 1)
    theirs = torch.cat([ids[:, :COLUMN], image, ids[:, COLUMN:]], dim=1)
    labels = torch.cat([ids[:, :COLUMN], torch.full((1, PATCHES), -100), ids[:, COLUMN:]], dim=1)
    llava = {"input_ids": theirs, "attention_mask": torch.ones_like(theirs), "pixel_values": pixels}
    slots = {"image_slots": torch.tensor([[COLUMN]]), "image_pixel_values": pixels[:, None]}
    ours = {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | slots
    return llava, ours, {"labels": labels}


def llava_step(llava: Any, inputs: dict[str, Tensor]) -> Any:
    """A training step of LLaVA's projector, as its users run it."""
    optimiser = torch.optim.AdamW(llava.model.multi_modal_projector.parameters(), lr=1e-4)

    def run() -> None:
        llava(**inputs, use_cache=False).loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return run


def side_by_side(text: int, rounds: int, clock: Any) -> dict[str, Any]:
    """LLaVA against Midstream at entry 0 and L/2."""
    config = LlamaConfig(vocab_size=32000, **LLAMA)
    lm, tower = random_lm(config, Bench(1, text)), vision_tower()
    llava = llava_of(twin(lm), tower)
    half = config.num_hidden_layers // 2
    models: dict[str, nn.Module] = {
        "entry at 0": ours_of(lm, tower, llava, prepend()),
        f"entry at {half}": ours_of(lm, tower, llava, deep_insert(half)),
    }
    for_llava, for_ours, labels = inputs_of(config, text)
    found: dict[str, Any] = check(llava, models["entry at 0"], for_llava, for_ours, labels)
    runs = {
        "prefill": {"llava": prefill(llava, for_llava)} | {n: prefill(m, for_ours) for n, m in models.items()},
        "train": {"llava": llava_step(llava, for_llava | labels)}
        | {name: training_step(model, for_ours) for name, model in models.items()},  # type: ignore[arg-type]
    }
    for stage, sides in runs.items():
        seconds = interleaved(sides, rounds, clock=clock)
        found[stage] = {
            name: {
                "seconds": spread(seconds[name]),
                "over_llava": ratios(seconds, name, "llava"),
                "peak_bytes": peak_bytes(run),
            }
            for name, run in sides.items()
        }
    return found


def check(llava: Any, ours: Any, for_llava: Any, for_ours: Any, labels: Any) -> dict[str, float]:
    """How far logits and loss of LLaVA and of Midstream at entry 0 are apart.

    LLaVA's loss has one target more, the word behind the picture, which the picture's last token says; Midstream gives
    logits for text tokens only. It is left out of both here.
    """
    seam = COLUMN + PATCHES
    wanted = {"labels": labels["labels"].clone()}
    wanted["labels"][:, seam] = -100
    labelled = for_ours["input_ids"].clone()
    labelled[:, COLUMN] = -100
    with torch.no_grad():
        text = for_llava["input_ids"][0] != llava.config.image_token_index
        theirs, own = llava(**for_llava, **wanted), ours(**for_ours, labels=labelled)
    apart = float((theirs.logits[0, text] - own.logits[0]).abs().max())
    assert apart < 1e-3, f"logits differ by {apart}; the sides do not do the same work"
    return {"logits_differ_by": apart, "losses_differ_by": float((theirs.loss - own.loss).abs())}


def speed(width: int, ffn: int, text: int, tokens: int, rounds: int, clock: Any) -> dict[str, float]:
    """FLOP/s of a Linear from `width` to `ffn` at the rows of text alone and of text with tokens; medians.

    Weights change from call to call, as they do from layer to layer, so that they come from memory.
    """
    layers = [nn.Linear(width, ffn) for _ in range(12)]
    inputs = {rows: torch.randn(rows, width) for rows in (text, text + tokens)}

    def run(rows: int) -> Any:
        return lambda: [layer(inputs[rows]) for layer in layers]

    with torch.no_grad():
        seconds = interleaved({str(rows): run(rows) for rows in inputs}, rounds, clock=clock)
    work = 2 * width * ffn * len(layers)
    return {f"{rows} rows": work * rows / spread(seconds[str(rows)])["median"] for rows in inputs}


def _told(stage: str, done: int, total: int, note: str) -> None:
    typer.echo(f"{stage} {done}/{total} {note}".rstrip(), err=True)


def verdict(depth: dict[str, Any]) -> dict[str, Any]:
    """The figures that have a target."""
    half = depth["schedules"]["deep_insert:L/2"]["train"]
    later = [f"deep_insert:{share}" for share in ("L/4", "L/2", "3L/4")]
    prefill = {name: row["prefill"]["ratio"]["median"] for name, row in depth["schedules"].items()}
    text = prefill["text only"]
    return {
        # what prefill would take if each layer below the entry took exactly what it takes in text alone
        "prefill_if_only_layers_changed": {
            name: 1 - share * (1 - text) for name, share in zip(later, (0.25, 0.5, 0.75), strict=True)
        },
        "prefill": {name: prefill[name] for name in later},
        "measured_over_ledger": {
            stage: {name: depth["schedules"][name][stage]["measured_over_ledger"] for name in later}
            for stage in ("prefill", "train")
        },
        "training_speedup_at_half": 1 / half["ratio"]["median"],
        "training_memory_saved_at_half": 1 - half["peak_ratio"],
    }


def main(
    lm: Annotated[str, typer.Option(help="A shape of the OPT family.")] = "opt-125m",
    text: int = 64,
    tokens: int = 576,
    rounds: int = 11,
    depths: Annotated[bool, typer.Option(help="Measure entry layers.")] = True,
    llava: Annotated[bool, typer.Option(help="Measure LLaVA too.")] = True,
    cpu_time: Annotated[bool, typer.Option("--cpu-time", help="Leave out what others run.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the result here.")] = None,
) -> None:
    """Measure, print, and write the result."""
    torch.manual_seed(0)
    clock = time.process_time if cpu_time else time.perf_counter
    result: dict[str, Any] = {"lm": lm, "text": text, "tokens": tokens, "targets": TARGETS}
    if depths:
        source, senses, compared = chosen(lm, None)
        given = Given(tokens, source.lm.hidden_size)
        result["depth"] = bench(source.lm, senses, compared, Bench(1, text), rounds, given, report=_told, clock=clock)
        result["reached"] = verdict(result["depth"])
        result["speed"] = speed(source.lm.hidden_size, source.lm.ffn_dim, text, tokens, 5 * rounds, clock)
    if llava:
        result["llava"] = side_by_side(text, rounds, clock)
    result["provenance"] = provenance(seed=0, clock=clock.__name__)
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
