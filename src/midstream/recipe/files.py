"""Settings in YAML files, shipped or the user's: found by name, read, overridden, validated. Knows no setting."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from midstream.errors import InputError
from midstream.recipe.explaining import explain

Node = TypeVar("Node", bound=BaseModel)


class Shelf(NamedTuple):
    """A kind of file that ships: what one is called, and the folder."""

    kind: str
    folder: Path

    def names(self) -> list[str]:
        """Of what ships, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def find(self, source: str) -> Path:
        """The file of a shipped name, or the user's own.

        Raises:
            InputError: there is neither.
        """
        shipped = self.folder / f"{source}.yaml"
        if shipped.parent == self.folder and shipped.is_file():
            return shipped
        path = Path(source)
        if path.is_file():
            return path
        close = get_close_matches(source, self.names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"shipped {self.kind}s are {', '.join(self.names())}"
        raise InputError(f"there is no {self.kind} {source!r}, neither shipped nor a file; {hint}")

    def read(self, source: str, keys: str) -> dict[str, Any]:
        """The tree of a file, named after it unless it says otherwise.

        Args:
            keys: what it must hold, for the message.

        Raises:
            InputError: no such file, not YAML, or no mapping.
        """
        path = self.find(source)
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.kind} {path} is not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(tree, dict):
            raise InputError(f"{self.kind} {path} must be a mapping with {keys}")
        tree.setdefault("name", path.stem)
        return tree


def override(text: str, example: str) -> tuple[str, Any]:
    """Key and value of a `--set KEY=VALUE`, the value read as YAML.

    Args:
        example: of a right one, for the message.

    Raises:
        InputError: no key, or no YAML.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise InputError(f"--set {text!r} must look like {example}")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--set {text}: {value!r} is not a YAML value") from None


def validated(model: type[Node], tree: Any, where: str) -> Node:
    """`tree` as settings.

    Raises:
        InputError: one sentence that names the key, with a suggestion where it is not known.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, tree, model)}") from None
