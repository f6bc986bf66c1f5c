"""The list of families that Midstream drives, kept: one for each mechanism every time, all of them when asked.

All of them:  MIDSTREAM_FAMILIES=all pytest tests/compat -m slow

The expectation is made from a full run:  midstream compat --json > result.json, and its statuses go to expected.json.
"""

import json
import os
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from midstream.compat.families import families, tiny_config, tiny_model
from midstream.compat.recipes import LARGEST, LIMITS, SPECIAL
from midstream.compat.run import check_family, run
from midstream.engine import Engine
from midstream.errors import InputError
from midstream.presets import deep_insert

EXPECTED: dict[str, str] = json.loads((Path(__file__).parent / "expected.json").read_text())
PASSING = [family for family, status in EXPECTED.items() if status == "pass"]
REFUSED = [family for family, status in EXPECTED.items() if status == "refused"]
SAMPLE = {
    "bert": "an encoder used as a decoder, its positions counted behind the padding's",
    "bloom": "alibi biases",
    "deepseek_v3": "latent attention with its own rotary width",
    "gemma3_text": "windows and full attention, each with its rotary embedding",
    "llama4_text": "chunked attention",
    "longcat_flash": "two entries of the cache for each layer",
    "mamba": "states under the name cache_params",
    "minimax": "a cache that only the LM can make",
    "mllama": "layers that are passed by",
    "mpt": "a mask that is true where nothing may be read",
    "nemotron_h": "layers that read no other column",
    "openai-gpt": "no cache",
    "qwen3_5_text": "linear attention",
    "rwkv": "a list as state, and padding that is not heeded",
    "whisper": "the decoder of an encoder and decoder, told no positions by name",
    "zamba": "the input embeddings once more, two masks",
}
"""Family -> what it alone of the sample has."""

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's models; what they warn of is not ours to fix


def test_every_family_is_settled() -> None:
    assert set(EXPECTED) == set(families())
    assert set(EXPECTED.values()) == {"pass", "refused"}
    assert len(PASSING) >= 140
    assert not (set(SPECIAL) | set(LIMITS)) - set(families())
    assert not set(SAMPLE) - set(PASSING)


@pytest.mark.parametrize("family", SAMPLE)
def test_a_sample_passes_every_check(family: str) -> None:
    result = check_family(family)
    assert result["status"] == "pass", result


@pytest.mark.parametrize("family", REFUSED)
def test_a_refused_family_is_refused_at_construction(family: str) -> None:
    with pytest.raises(InputError, match=r"(\w+ ){4}"):
        Engine(tiny_model(family), {"image": deep_insert(1)})


def test_an_encoder_is_refused_until_it_is_a_decoder() -> None:
    config = tiny_config("bert")
    config.is_decoder = False
    with pytest.raises(InputError, match="is_decoder"):
        Engine(AutoModelForCausalLM.from_config(config), {"image": deep_insert(1)})


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match="nonesuch"):
        tiny_config("nonesuch")


def test_tiny_models_are_tiny() -> None:
    assert sum(parameter.numel() for parameter in tiny_model("qwen3_moe").parameters()) < LARGEST


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("MIDSTREAM_FAMILIES") != "all", reason="minutes; run with MIDSTREAM_FAMILIES=all")
def test_every_family_is_as_expected() -> None:
    """All families, in some minutes:  MIDSTREAM_FAMILIES=all pytest tests/compat -m slow."""
    found = {family: entry["status"] for family, entry in run(sorted(EXPECTED))["families"].items()}
    assert found == EXPECTED
