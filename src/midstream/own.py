"""Encoders of the user's own: a small class gives a name, a width, how an item is prepared and how it is encoded.

    class Elevation(OwnEncoder):
        name, width = "elevation", 64

        def preprocess(self, item):          # what `--media elevation=FILE` or a data row gave: one item
            return torch.from_numpy(numpy.load(item)["elevation"]).float()

        def forward(self, values):           # (N, ...) as `preprocess` gave them, stacked
            return features                  # (N, P, width)

Everything else (train, ask, eval, save, load) works through it: a recipe says `encoder: elevation`, and the class is
made known by `--plugin FILE.py`, `load_plugin`, an entry point of the group `midstream.encoders`, or an import.
"""

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from midstream.errors import InputError

GROUP = "midstream.encoders"
"""The entry point group under which an installed package names its encoders: `elevation = "my_package:Elevation"`."""

_KNOWN: dict[str, type["OwnEncoder"]] = {}


class OwnEncoder(nn.Module, ABC):
    """Base of the user's own encoders. It is frozen, in eval mode, and never saved: the class makes it again.

    A constructor may take options (`options` of a recipe's modality), plain data that is saved with the model. Weights
    it loads itself; a fingerprint of them is kept, so that connectors are not used with other weights.
    """

    name: ClassVar[str]
    """What recipes call it."""

    width: int
    """E: the size of one feature."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(name := cls.__dict__.get("name"), str):
            _register(name, cls)

    @abstractmethod
    def preprocess(self, item: Any) -> Tensor | Mapping[str, Tensor]:
        """One item (a path, bytes, an array, a mapping: what the data or the user give) to tensors of a fixed shape.

        Raises:
            InputError: the item cannot be used; say what is wrong with it and what to do.
        """

    @abstractmethod
    def forward(self, *args: Any, **tensors: Tensor) -> Tensor:
        """The stacked tensors of N items (as `values`, or under the keys of `preprocess`) to features (N, P, width)."""


def _register(name: str, cls: type[OwnEncoder]) -> None:
    before = _KNOWN.get(name)
    if before is not None and (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(
            f"two encoders are called {name!r}: {before.__module__}.{before.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}; give one of them another `name`"
        )
    _KNOWN[name] = cls


def is_known(name: str) -> bool:
    """Whether a class of that name is known, or installed (it is then imported)."""
    if name not in _KNOWN:
        for entry in entry_points(group=GROUP, name=name):
            entry.load()
    return name in _KNOWN


def make_own(name: str, options: Mapping[str, Any] | None = None) -> OwnEncoder | None:
    """The encoder called `name`, or None where no class of that name is known or installed.

    Raises:
        InputError: its constructor refuses the options.
    """
    if not is_known(name):
        return None
    try:
        return _KNOWN[name](**(options or {}))
    except TypeError as error:
        raise InputError(f"encoder {name}: {str(error).split('__init__() ')[-1]}; check its `options`") from None


def load_plugin(path: str | Path) -> list[str]:
    """Run a Python file that defines encoders, and say which names it made known.

    Raises:
        InputError: no such file, it cannot be run, or it defines no encoder.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no plugin file {path}; give the path of a Python file")
    name = f"midstream_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plugin {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:  # any code may stand there
        raise InputError(f"plugin {path} failed with {type(error).__name__}: {error}; mend it first") from error
    found = [known for known, cls in _KNOWN.items() if cls.__module__ == name]
    if not found:
        raise InputError(f"plugin {path} defines no encoder; write a subclass of OwnEncoder with a `name`")
    return found
