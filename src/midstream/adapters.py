"""Trained adapters inside the frozen LM, by PEFT: LoRA (arXiv 2106.09685) or IA3 (arXiv 2205.05638) in chosen layers.

Optional: the LM stays as it is without them. With them its answers to text alone change too. Needs the extra `peft`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from midstream.errors import InputError

MARKS = ("lora_", "ia3_")
"""What PEFT's own parameters are called after."""

KINDS = ("lora", "ia3")


def inject(lm: nn.Module, layers: Sequence[nn.Module], settings: Mapping[str, Any], lowest: int) -> None:
    """Put adapters into an LM, in place; they begin as the identity.

    Args:
        lm: any causal LM.
        layers: its decoder layers, in order.
        settings: `kind`, `rank` (LoRA's), `alpha` (LoRA's scale, by default 2 x rank), `first` (the lowest layer that
            is adapted) and `targets` (last names of the linear modules; by default all of a layer's).
        lowest: the lowest entry layer, which is where `first` is by default: below it, states stay constants.

    Raises:
        InputError: PEFT is not installed, an unknown kind, a layer that does not exist, or no module of those names.
    """
    try:
        from peft import IA3Config, LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InputError("adapters need PEFT; install it with: pip install 'midstream[peft]'") from None
    kind, first = settings.get("kind", "lora"), settings.get("first")
    first = lowest if first is None else first
    if kind not in KINDS:
        raise InputError(f"adapters.kind is {kind!r}; choose one of {', '.join(KINDS)}")
    if not 0 <= first < len(layers):
        raise InputError(f"adapters.first is {first}, but the LM has layers 0..{len(layers) - 1}")
    names = _modules(lm, layers[first:], settings.get("targets"))
    turned = any(type(lm.get_submodule(name)).__name__ == "Conv1D" for name in names)  # GPT-2's linear maps
    if kind == "lora":
        rank = settings.get("rank", 8)
        alpha = settings.get("alpha") or 2 * rank
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, fan_in_fan_out=turned)
    else:
        config = IA3Config(target_modules=names, feedforward_modules=[], fan_in_fan_out=turned)
    inject_adapter_in_model(config, lm)


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is an adapter's."""
    return any(part.startswith(MARKS) for part in name.split("."))


def _modules(lm: nn.Module, layers: Sequence[nn.Module], targets: Sequence[str] | None) -> list[str]:
    """Full names of the linear modules of the layers, or of those of them that are called so."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    linear = [name for name, module in lm.named_modules() if id(module) in inside and type(module).__name__ in _LINEAR]
    found = [name for name in linear if targets is None or name.rpartition(".")[2] in targets]
    if not found:
        there = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none that can be adapted"
        raise InputError(f"adapters.targets is {list(targets or [])}; the layers' linear modules are {there}")
    return found


_LINEAR = ("Linear", "Conv1D", "Linear4bit", "Linear8bitLt")
