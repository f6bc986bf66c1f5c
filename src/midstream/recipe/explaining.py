"""Turns a failed validation into one sentence: the dotted key, what is wrong, what was meant. Knows no recipe field."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, tree: Any, model: type[BaseModel]) -> str:
    """One sentence about the most telling of the errors: an unknown key comes before what it may have caused.

    Args:
        error: what pydantic raised for `tree`.
        tree: the plain data that was validated.
        model: the class that it was validated against.
    """
    problems = error.errors()
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    key = _dotted(first["loc"], tree)
    if first["type"] == "extra_forbidden":
        return f"unknown key `{key}`; {_suggestion(key, sorted(known_keys(model, tree)))}"
    if first["type"] == "missing":
        return f"`{key}` is missing"
    if first["type"].startswith("union_tag"):
        context = first["ctx"]
        tag = str(context["discriminator"]).strip("'")
        found = f"is {context['tag']!r}" if "tag" in context else "is missing"
        return (
            f"`{key}.{tag}` {found}; it must be one of {context.get('expected_tags') or _tags(model, tree, key, tag)}"
        )
    if first["type"] == "model_type":
        return f"`{key}` is {first['input']!r}; it must be a mapping of keys to values"
    said = first["msg"][0].lower() + first["msg"][1:]
    return f"`{key}` is {first['input']!r}; {said.removeprefix('value error, ')}"


def _dotted(location: tuple[int | str, ...], tree: Any) -> str:
    """The path as the user wrote it: pydantic's also names the chosen member of a union, which no file contains."""
    parts: list[str] = []
    node = tree
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        elif not last:
            continue
        parts.append(str(step))
    return ".".join(parts)


def known_keys(annotation: Any, tree: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key that may stand in a file like `tree`; of a union only the member that `tree` chose."""
    model = _model(annotation, tree)
    if model is not None:
        for name, field in model.model_fields.items():
            yield prefix + name
            inner = tree.get(name) if isinstance(tree, dict) else None
            yield from known_keys(field.annotation, inner, f"{prefix}{name}.")
    elif isinstance(tree, dict) and len(get_args(annotation)) == 2:  # dict[str, something]
        for name, inner in tree.items():
            yield from known_keys(get_args(annotation)[1], inner, f"{prefix}{name}.")
    elif isinstance(tree, list) and len(get_args(annotation)) == 1:  # list[something]
        for number, inner in enumerate(tree):
            yield from known_keys(get_args(annotation)[0], inner, f"{prefix}{number}.")


def _model(annotation: Any, tree: Any) -> type[BaseModel] | None:
    """The model class behind an annotation; for a union, the one whose fixed tag `tree` carries (or the first)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, type) or getattr(annotation, "__origin__", None) in (dict, list):
        return None
    members = [m for m in (_model(member, tree) for member in get_args(annotation)) if m is not None]
    return next((m for m in members if isinstance(tree, dict) and _carries(m, tree)), members[0] if members else None)


def _carries(model: type[BaseModel], tree: dict[str, Any]) -> bool:
    tags = {name: get_args(field.annotation) for name, field in model.model_fields.items()}
    return any(name in tree and len(tags[name]) == 1 and tree[name] == tags[name][0] for name in tags)


def _tags(model: type[BaseModel], tree: Any, key: str, tag: str) -> str:
    """The tags a union offers, for a message about one that is missing."""
    node: Any = model
    for step in key.split("."):
        chosen = _model(node, tree)
        fields = chosen.model_fields if chosen is not None else {}
        node = fields[step].annotation if step in fields else get_args(node)[-1]
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return ", ".join(repr(get_args(member.model_fields[tag].annotation)[0]) for member in get_args(node))


def _suggestion(key: str, known: list[str]) -> str:
    parent, _, last = key.rpartition(".")
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    names = {name.rpartition(".")[2]: name for name in siblings}
    if close := get_close_matches(last, names, n=1):
        return f"did you mean `{names[close[0]]}`?"
    elsewhere = [name for name in known if name.rpartition(".")[2] == last]
    if elsewhere:
        return f"did you mean `{elsewhere[0]}`?"
    if close := get_close_matches(key, known, n=1, cutoff=0.75):
        return f"did you mean `{close[0]}`?"
    return f"the keys there are {', '.join(sorted(names))}" if names else "there are no keys there"
