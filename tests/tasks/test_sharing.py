"""Two processes that evaluate together: each question is answered by one of them, and both have the result of all."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import runs
from midstream.building import build
from midstream.data.sources import open_rows
from midstream.progress import Report
from midstream.recipe import Recipe
from midstream.tasks import evaluation, sharing
from midstream.tasks.sharing import in_shares

SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_sharing import evaluated
from midstream.recipe import load_recipe
from midstream.tasks.sharing import in_shares, processes

here, rank = Path(sys.argv[1]), os.environ["RANK"]
found = evaluated(load_recipe(here / "recipe.yaml"))
found["few"] = in_shares(["only"], lambda mine: [f"{item} by {rank}" for item in mine])
(here / f"by-{rank}.json").write_text(json.dumps(found))
processes().destroy_process_group()
"""


def evaluated(recipe: Recipe) -> dict[str, Any]:
    """Seven questions, one with a picture that is gone; also how many this process was asked, and what was told."""
    rows = [open_rows(recipe.data, "validation")[i] for i in range(7)]
    gone = {"role": "user", "content": [{"type": "image", "image": "gone.png"}]}
    rows[3] = {**rows[3], "messages": [gone, rows[3]["messages"][-1]]}
    answer, asked, told = evaluation.answer, [], []

    def noted(model: Any, processor: Any, prompts: Any, longest: int) -> list[str]:
        asked.append(len(prompts))
        return [f"{said} red" for said in answer(model, processor, prompts, longest)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "answer", noted)
        settings: dict[str, Any] = {"metric": "rougeL", "batch_size": 2, "max_new_tokens": 4, "detailed": True}
        report: Report = lambda *news: told.append(news)  # noqa: E731
        result = evaluation.evaluate(*build(recipe), rows, report=report, **settings)
    result["provenance"] = {name: result["provenance"][name] for name in ("seed", "data_hash")}
    return {"result": result, "asked": sum(asked), "told": told}


@pytest.mark.slow
def test_two_processes_answer_every_question_once(tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    here = Path(__file__).parent
    done = subprocess.run(
        [*launch, str(tmp_path / "script.py"), str(tmp_path), str(here), str(here.parent)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"by-{rank}.json").read_text()) for rank in (0, 1))
    assert first["result"] == second["result"] and first["result"]["n"] == 6 and first["result"]["bad"] == 1
    assert first["few"] == second["few"] == ["only by 0"]
    # 7 questions are 4 and 3, then come three controls over 6; a batch of 2 with a bad one is asked again one by one.
    assert (first["asked"], second["asked"]) == (4 + 3 * 3, 3 + 3 * 3 + 2)
    assert second["told"] == [] and first["told"][-1][1:3] == [7 + 3 * 6] * 2
    alone = json.loads(json.dumps(evaluated(recipe)))
    assert first["result"] == alone["result"] and alone["asked"] == 7 + 3 * 6 + 2
    assert len(set(alone["result"]["scores"]["accuracy"])) > 1  # the control: the order of the answers matters


def test_alone_everything_is_ones_own_share() -> None:
    assert in_shares([3, 1, 2], lambda mine: [item * 10 for item in mine]) == [30, 10, 20]
    assert in_shares([], lambda mine: []) == []


def test_the_control_results_that_do_not_fit_the_items_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="zip"):
        in_shares([1, 2], lambda mine: [0])
    monkeypatch.setattr(sharing, "gather_object", lambda done: [*done, (9, "of nobody")])
    with pytest.raises(RuntimeError, match="2 items came back as 3"):
        in_shares([1, 2], list)
    monkeypatch.setattr(sharing, "gather_object", lambda done: done + done)  # what a padded last batch would bring
    with pytest.raises(RuntimeError, match="2 items came back as 4"):
        in_shares([1, 2], list)
