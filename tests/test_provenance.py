"""Results say where they come from, without naming the machine."""

import sys
from pathlib import Path

import pytest

from midstream.provenance import provenance


def test_provenance_has_versions_machine_command_and_date(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/bin/midstream", "eval", str(tmp_path / "model"), f"--out={tmp_path}/x"]
    )
    told = provenance(seed=3)
    assert told["seed"] == 3 and told["command"] == "midstream eval model --out=x"
    assert {"midstream", "python", "torch", "transformers"} <= set(told["versions"])
    assert told["machine"]["cores"] >= 1 and told["date"].startswith("20")
    assert str(tmp_path) not in str(told) and str(Path.home()) + "/" not in str(told)
