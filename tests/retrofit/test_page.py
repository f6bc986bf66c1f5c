"""The page names the families that are tested, and the benchmark's script runs at toy size."""

import json
import re
import runpy
from pathlib import Path

import vlms

ROOT = Path(__file__).parent.parent.parent


def test_the_page_lists_the_families_that_are_tested() -> None:
    page = (ROOT / "docs" / "retrofit.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(vlms.FAMILIES)


def test_the_benchmark_runs(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "retrofit.py"))
    script["main"](depth=4, width=64, side=4, text=8, rounds=1, out=tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())["prefill"]
    assert found["prepend()"]["flops_ratio"] == 1, "the retrofit itself computes nothing of weight"
    assert all(0 < one["flops_ratio"] < 1 for name, one in found.items() if name not in ("untouched", "prepend()"))
