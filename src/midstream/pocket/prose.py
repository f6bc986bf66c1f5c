"""Ordinary English at hand everywhere: the standard library's docstrings and pydoc's topics.

Owns collecting and cleaning. Nothing is imported or executed to get it: sources are parsed. The text depends on the
Python version that runs this, so it is recorded in the provenance of what was trained on it.
"""

from __future__ import annotations

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from midstream.errors import InputError

_SKIP: Final = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "__pycache__", "pydoc_data"}
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_ODD: Final = re.compile(r"[^A-Za-z ,.'\-]")


def _sources() -> Iterator[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not _SKIP.intersection(path.relative_to(root).parts):
            yield path


def _docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # a few library files are deliberately not UTF-8 or not Python 3
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name]


def _paragraphs(text: str) -> Iterator[str]:
    for block in _PARAGRAPH.split(text):
        line = " ".join(block.split())
        if len(line) >= 60 and line[0].isalpha() and len(_ODD.findall(line)) <= 0.04 * len(line):
            yield line


def paragraphs(more: Path | None = None) -> list[str]:
    """Clean English paragraphs, without duplicates, in a fixed order for one Python version.

    Args:
        more: folder whose .txt files (UTF-8, paragraphs between empty lines) are read as well, in the order of names.

    Raises:
        InputError: `more` holds no .txt file.
    """
    files = sorted(more.rglob("*.txt")) if more is not None else []
    if more is not None and not files:
        raise InputError(f"{more} holds no .txt file; --prose takes a folder of plain text")
    found: dict[str, None] = {}
    for path in _sources():
        for text in _docstrings(path):
            found.update(dict.fromkeys(_paragraphs(text)))
    for text in _topics():
        found.update(dict.fromkeys(_paragraphs(text)))
    for path in files:
        found.update(dict.fromkeys(_paragraphs(path.read_text(encoding="utf-8", errors="replace"))))
    return list(found)
