"""The trainer of a run: model, rows (from a cache, if the recipe says so) and Hugging Face's `Trainer` around them.

Owns how a batch becomes a loss and what a checkpoint holds. Knows no run from end to end.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial as with_arguments
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from midstream.building import build
from midstream.cache.building import cached
from midstream.cache.items import COLUMNS, STATES, collate, entry_layer
from midstream.checkpoint import load_weights
from midstream.data.rows import naming
from midstream.data.sources import open_data
from midstream.engine.skipping import known
from midstream.learnt_columns import logits_only_at, loss, targets
from midstream.modeling import IGNORED, MidstreamForCausalLM, question_ends
from midstream.processing import MidstreamProcessor
from midstream.progress import Report
from midstream.recipe import Recipe
from midstream.training_callbacks import CompleteMark, Progress


@dataclass(frozen=True, slots=True)
class Caching:
    """Where the cache of a run lies, when its recipe wants one.

    Args:
        folder: the cache itself; by default one of its own, for these very parts and data, in the user's cache folder.
        rebuild: replace what lies in `folder` when it was made from something else.
    """

    folder: Path | None = None
    rebuild: bool = False


class ConnectorTrainer(Trainer):
    """`Trainer` that saves and loads what Midstream does: connectors as safetensors, and no pickled arguments."""

    def __init__(self, joined: MidstreamForCausalLM, processor: MidstreamProcessor, **options: Any) -> None:
        super().__init__(model=joined, compute_loss_func=loss, **options)
        self.joined = joined
        self.processor = processor

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch: logits are made where something is learnt, and known states are begun with."""
        labels_BT, joined = inputs["labels"], self.joined
        inputs["use_cache"] = False
        if joined.engine.asks:
            inputs["asking_columns"] = question_ends(labels_BT)
        states_BTD = inputs.pop(STATES, None)
        with ExitStack() as stack:
            stack.enter_context(logits_only_at(joined.lm, targets(labels_BT) != IGNORED))
            if states_BTD is not None:
                stack.enter_context(known(joined.engine, joined.lm, entry_layer(joined), states_BTD))
            return super().compute_loss(model, inputs, *args, **kwargs)

    def save_parts(self, folder: Path) -> None:
        """Write connectors and processor."""
        self.joined.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:  # every process comes by here, and one writes
            self.save_parts(Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.joined.load_trained(load_weights(resume_from_checkpoint), resume_from_checkpoint)


def make_trainer(
    recipe: Recipe, partial: Path, caching: Caching, report: Report, callbacks: list[TrainerCallback]
) -> tuple[ConnectorTrainer, float]:
    """The trainer, and the seconds that its cache took."""
    settings = recipe.training
    model, processor = build(recipe)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    rows: Any = open_data(recipe.data, "train")
    arguments = _arguments(recipe, partial)
    collator: Any = naming(with_arguments(processor.training_batch, multiple=COLUMNS))
    started = time.perf_counter()
    if settings.cache != "none":
        torch.nn.Module.to(model, arguments.device)
        rows = cached(
            rows,
            model,
            processor,
            settings.cache,
            caching.folder,
            name="-".join(recipe.modalities),  # not the recipe's: others with these parts and data share it
            stored_as=torch.bfloat16 if settings.cache_precision == "bfloat16" else None,
            batch_size=settings.batch_size,
            rebuild=caching.rebuild,
            report=report,
        )
        collator = collate
    trainer = ConnectorTrainer(
        model,
        processor,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
        callbacks=[Progress(report), CompleteMark(), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)  # it prints dictionaries to stdout, which belongs to the result
    return trainer, time.perf_counter() - started if settings.cache != "none" else 0.0


def _arguments(recipe: Recipe, partial: Path) -> TrainingArguments:
    settings = recipe.training
    return TrainingArguments(
        output_dir=str(partial),
        use_cpu=not torch.accelerator.is_available(),  # without it, processes on CPUs would not know of each other
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.lr,
        warmup_steps=settings.warmup if settings.warmup else 0,
        lr_scheduler_type=settings.scheduler,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        save_steps=settings.save_every,
        save_total_limit=2,
        logging_steps=settings.log_every,
        dataloader_pin_memory=torch.cuda.is_available(),
        # Each process takes its own rows of a stream: batches of one process are padded apart from another's.
        accelerator_config={"dispatch_batches": False},
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
