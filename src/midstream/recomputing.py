"""Training mode and gradient checkpointing around a frozen LM: its layers are recomputed, and stay in eval mode."""

from typing import Any, Self

from transformers import PreTrainedModel

from midstream.engine import Engine, check_gradients, rerunnable
from midstream.errors import InputError


class Recomputing(PreTrainedModel):
    """Recomputes the LM's layers in backward when asked to."""

    lm: PreTrainedModel
    engine: Engine

    def train(self, mode: bool = True) -> Self:
        """Training mode for the connectors only; frozen parts stay in eval mode.

        Raises:
            InputError: no gradient would pass the LM's quantised weights.
        """
        super().train(mode)
        self.lm.eval()
        if mode:
            entries = [schedule.enter for schedule in self.engine.schedules.values()]
            check_gradients(self.engine.anatomy, min(entries, default=0))
        for index, layer in enumerate(self.engine.anatomy.layers):
            # the gate of Transformers' checkpointing, which takes caches away; `rerunnable` shuts it inside
            gate = getattr(layer, "gradient_checkpointing", False) and not self.engine.needs_cache(index)
            layer.training = mode and gate
        return self

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Recompute the LM's layers in backward.

        Args:
            gradient_checkpointing_kwargs: for `torch.utils.checkpoint.checkpoint`.
            options: `every_n_layers` and `offload`, where Transformers knows them.

        Raises:
            InputError: reentrant checkpointing was asked for; it would lose the connectors' gradients.
        """
        settings = {"use_reentrant": False} | (gradient_checkpointing_kwargs or {})
        if settings["use_reentrant"]:
            raise InputError("use_reentrant=True loses the gradients of the connectors; use use_reentrant=False")
        newer = getattr(self.lm, "activation_checkpointing_enable", None)  # the name since 5.23
        (newer or self.lm.gradient_checkpointing_enable)(settings, **options)
        self.lm.disable_input_require_grads()  # or the layers below the entry would carry gradients for nothing
        layers: tuple[Any, ...] = self.engine.anatomy.layers
        for layer in layers:
            layer._gradient_checkpointing_func = rerunnable(layer, layer._gradient_checkpointing_func)
        self.train(self.training)

    def gradient_checkpointing_disable(self) -> None:
        """Undo `gradient_checkpointing_enable`."""
        newer = getattr(self.lm, "activation_checkpointing_disable", None)
        (newer or self.lm.gradient_checkpointing_disable)()
        self.train(self.training)
