"""The list of families that Midstream drives, kept: a sample each time, all of them in the slow test.

The expectation is made from a full run:  midstream compat --json > result.json, and its statuses go to expected.json.
"""

import json
from pathlib import Path

import pytest

from midstream.compat.families import families, tiny_config, tiny_model
from midstream.compat.recipes import LARGEST, SPECIAL
from midstream.compat.run import check_family, run
from midstream.engine import Engine
from midstream.errors import InputError
from midstream.presets import deep_insert

EXPECTED: dict[str, str] = json.loads((Path(__file__).parent / "expected.json").read_text())
PASSING = [family for family, status in EXPECTED.items() if status == "pass"]
REFUSED = [family for family, status in EXPECTED.items() if status == "refused"]
SAMPLE = [family for family in (
    "bart", "bert", "bloom", "deepseek_v3", "falcon", "falcon_h1", "gemma2", "gemma3_text", "gpt2", "gpt_neox",
    "jamba", "lfm2", "llama", "mistral", "mpt", "olmo2", "opt", "phi", "qwen2", "qwen3_5_text", "qwen3_moe", "whisper",
    "xglm",
) if EXPECTED.get(family) == "pass"]  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore")  # other people's models; what they warn of is not ours to fix


def test_expectations_are_of_known_families_that_pass_or_are_refused() -> None:
    assert set(EXPECTED.values()) == {"pass", "refused"}
    assert not (set(SPECIAL) | set(EXPECTED)) - set(families())


@pytest.mark.parametrize("family", SAMPLE)
def test_a_sample_passes_every_check(family: str) -> None:
    result = check_family(family)
    assert result["status"] == "pass", result


@pytest.mark.parametrize("family", [family for index, family in enumerate(REFUSED) if index % 6 == 0])
def test_a_refused_family_is_refused_at_construction(family: str) -> None:
    with pytest.raises(InputError, match=r"\w+ \w+"):
        Engine(tiny_model(family), {"image": deep_insert(1)})


def test_an_encoder_is_refused_until_it_is_a_decoder() -> None:
    config = tiny_config("bert")
    config.is_decoder = False
    from transformers import AutoModelForCausalLM

    with pytest.raises(InputError, match="is_decoder"):
        Engine(AutoModelForCausalLM.from_config(config), {"image": deep_insert(1)})


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match="nonesuch"):
        tiny_config("nonesuch")


def test_tiny_models_are_tiny() -> None:
    assert sum(parameter.numel() for parameter in tiny_model("qwen3_moe").parameters()) < LARGEST


@pytest.mark.slow
def test_every_family_is_as_expected() -> None:
    """All families, in some minutes:  pytest tests/compat -m slow."""
    found = {family: entry["status"] for family, entry in run(sorted(EXPECTED))["families"].items()}
    assert found == EXPECTED
