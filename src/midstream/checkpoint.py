"""Saves and loads what was trained, and nothing else; knows by fingerprint which frozen parts it was trained against.

A checkpoint is a folder with `config.json` and `model.safetensors` (connectors, a few MB). Pickle is never read.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import cached_file

from midstream.errors import InputError

WEIGHTS_NAME = "model.safetensors"
NOTE = "trained_for"
SKETCHED_TENSORS, SKETCHED_VALUES = 16, 8


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What tells one frozen model from another: architecture, size and a sketch of its weights.

    The sketch holds `SKETCHED_VALUES` values of each of `SKETCHED_TENSORS` parameters, so that it takes no time at 7B
    and survives loading in another precision; it is compared with a tolerance. Half of them are matrices, half are
    vectors: vectors may all be ones and zeros, and matrices cannot be compared once they are quantised. A pooler does
    not count: it is not used here, and checkpoints without one get a random one at each load.
    """
    parameters = {name: value for name, value in sorted(model.named_parameters()) if "pooler" not in name.split(".")}
    matrices = [name for name, parameter in parameters.items() if parameter.dim() > 1]
    vectors = [name for name, parameter in parameters.items() if parameter.dim() == 1]
    chosen = [name for names in (matrices, vectors) for name in _spread(names, SKETCHED_TENSORS // 2)]
    size = sum(parameter.numel() for parameter in parameters.values())
    return {"architecture": type(model).__name__, "parameters": size, "sketch": _sketch(parameters, chosen)}


def check_fingerprint(model: nn.Module, expected: Mapping[str, Any], part: str, trained_on: str, given: str) -> None:
    """Refuse a frozen part that the connectors were not trained against.

    Raises:
        InputError: it names both models.
    """
    if missing := {"architecture", "parameters", "sketch"} - set(expected):
        raise InputError(
            f"the config has no {sorted(missing)} of the {part} {trained_on!r}; restore it, or train again"
        )
    found = fingerprint(model)
    reasons = [
        f"{key} {found[key]}, not {expected[key]}"
        for key in ("architecture", "parameters")
        if found[key] != expected[key]
    ]
    sketch = _sketch(dict(model.named_parameters()), expected["sketch"])
    if not reasons and not _same_sketch(sketch, expected["sketch"]):
        reasons = ["other weights"]
    if reasons:
        raise InputError(
            f"this checkpoint was trained with {part} {trained_on!r}, but {given!r} has {' and '.join(reasons)}; "
            f"load it with the {part} it was trained with"
        )


def save_weights(folder: Path, tensors: Mapping[str, Tensor], trained_for: Mapping[str, str]) -> None:
    """Write the trained tensors as safetensors, with a note of the schedules they were trained for.

    The note is one entry, because safetensors writes several in an order that changes from run to run.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / WEIGHTS_NAME, metadata={NOTE: json.dumps(trained_for, sort_keys=True)})


def load_weights(source: str, trained_for: Mapping[str, str] | None = None, **hub: Any) -> dict[str, Tensor]:
    """Read the trained tensors from a local folder or a hub id.

    Args:
        source: where they are.
        trained_for: what the config beside them says, of which the file must not say anything else.

    Raises:
        InputError: the file is missing or damaged, or was trained for something else.
    """
    try:
        path = cached_file(source, WEIGHTS_NAME, **hub)
        with safe_open(path, "pt") as file:
            noted = json.loads((file.metadata() or {}).get(NOTE, "{}"))
        for key, asked in (trained_for or {}).items():
            if noted.get(key, asked) != asked:
                raise InputError(
                    f"the weights in {source!r} were trained with {key} {noted[key]}, but its config says {asked}; "
                    f"restore the config, or train again"
                )
        return load_file(path)
    except OSError as error:
        raise InputError(f"{source!r} holds no {WEIGHTS_NAME}: {str(error).splitlines()[0]}") from None
    except SafetensorError as error:
        raise InputError(f"{source!r}: {WEIGHTS_NAME} is damaged ({error}); save it again") from None


@contextmanager
def written_whole(target: str | Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `target` only when everything succeeded.

    On any failure (a full disk, Ctrl-C) the half-written files are gone and `target` is as it was.

    Raises:
        InputError: the disk is full or not writable.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise InputError(f"cannot write to {target}: {error.strerror}; choose another folder") from None
    try:
        yield scratch
        _move(scratch, target)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"saving to {target} failed ({error}); nothing was written. Free some space or choose another folder"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move(scratch: Path, target: Path) -> None:
    if not target.exists():
        scratch.chmod(0o755)
        scratch.rename(target)
        return
    for entry in scratch.iterdir():
        if entry.is_dir() and (target / entry.name).is_dir():
            shutil.rmtree(target / entry.name)
        entry.replace(target / entry.name)


def _spread(names: list[str], count: int) -> list[str]:
    """At most `count` of `names`, evenly spread."""
    return names[:: max(1, len(names) // count)][:count]


def _sketch(parameters: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, list[float]]:
    """Some values of each named parameter; quantised integers and the meta device have none that say anything."""
    there = {name: parameters[name] for name in names if name in parameters}
    return {
        name: _values(tensor) for name, tensor in there.items() if tensor.is_floating_point() and not tensor.is_meta
    }


def _values(tensor: Tensor) -> list[float]:
    flat = tensor.detach().flatten()
    step = max(1, flat.numel() // SKETCHED_VALUES)
    return [float(f"{value:.6g}") for value in flat[::step][:SKETCHED_VALUES].float().tolist()]


def _same_sketch(found: Mapping[str, list[float]], expected: Mapping[str, list[float]]) -> bool:
    """Equal within what storing the weights in 16 bits changes; tensors that are quantised now are not compared."""
    if expected and not found:
        return False
    for name in found:
        ours, theirs = torch.tensor(found[name]), torch.tensor(expected[name])
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=2**-7, atol=1e-6):
            return False
    return True
