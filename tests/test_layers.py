"""Imports point downwards only (docs/design.md): what stands lower must not know what stands higher."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "midstream"
LAYERS = (
    ("errors", "progress"),
    ("schedule", "media", "provenance", "adapters", "wording", "own"),
    ("presets", "pictures", "connectors", "recipe", "pocket", "testing", "checkpoint", "table_encoder"),
    ("part_names",),
    ("encoders",),
    ("engine", "preparing"),
    ("configuration", "modality", "reuse"),
    ("generating", "recomputing", "saving"),
    ("modeling", "retrofitting"),
    ("processing", "compat", "cost"),
    ("building", "data", "stacking"),
    ("tasks", "smoke", "cache", "learnt_columns"),
    ("run_folder",),
    ("training_callbacks",),
    ("connector_trainer",),
    ("training",),
    ("sweep",),
    ("report",),
    ("cli",),
    ("__main__",),
)
"""Lowest first. The package's own `__init__` loads lazily and stands outside; so it may be imported for names only."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_module(name: str) -> bool:
    path = SOURCE / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports(tree: ast.AST) -> set[str]:
    """Modules of this package that run when the file does, function bodies included; type-checking blocks left out."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "midstream":
            inner = (node.module or "").partition(".")[2]
            for alias in node.names:
                name = f"{inner}.{alias.name}" if inner else alias.name
                found.add(name if is_module(name) else inner)
        found |= imports(node)
    return found - {""}


FILES = {module_of(path): path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"}
GRAPH = {name: imports(ast.parse(path.read_text())) for name, path in FILES.items()}


def upwards(module: str, imported: set[str]) -> list[str]:
    own = module.partition(".")[0]
    others = {name.partition(".")[0] for name in imported if is_module(name.partition(".")[0])} - {own}
    return sorted(name for name in others if RANK[name] >= RANK[own])


def test_every_module_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in FILES} == set(RANK)


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_point_downwards(module: str) -> None:
    assert upwards(module, GRAPH[module]) == []


def test_there_is_no_cycle_inside_a_layer_either() -> None:
    # A package's __init__ gathers what its files own; the files import each other directly.
    inside = {name: {other for other in found if other in FILES} for name, found in GRAPH.items()}
    packages = {name for name, path in FILES.items() if path.name == "__init__.py"}
    graph = {name: found - packages for name, found in inside.items() if name not in packages}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_the_control_an_upward_import_is_found() -> None:
    assert imports(ast.parse("def f():\n    from midstream.cli import app")) == {"cli"}
    assert upwards("schedule", {"cli"}) == ["cli"] and upwards("cli", {"schedule"}) == []
    assert imports(ast.parse("if TYPE_CHECKING:\n    from midstream.cli import app")) == set()
