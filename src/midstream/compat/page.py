"""The docs page of a compat run, as Markdown. Pure text from the result of `run`; measures nothing."""

from collections import Counter
from typing import Any

from midstream.compat.recipes import LIMITS

MEANING = {
    "text_only": "text without media gives the plain LM's logits, bit for bit",
    "entry_0": "tokens entering at layer 0 against the plain LM over the same embeddings",
    "entry_middle": "tokens entering at the middle layer against the plain LM, overwritten there from outside",
    "entry_last": "the same at the last layer",
    "cached": "decoding on the cache against one pass over everything",
    "padding": "rows padded left and right in a batch against each row alone",
    "causality": "earlier logits when a later word or picture changes",
    "heard": "entry layers at which a changed picture changes nothing",
    "checkpointing": "gradients with layers recomputed in backward against those without",
    "beams": "tokens of three beams that differ: batched against one by one, and with a cache against without",
}
"""Check -> what its number compares."""


BESIDE = """## Beside the families

- The attention implementations eager, sdpa and flex give the same, where Transformers offers them for a family.
  Schedules that only read tokens, or choose them by attention, need eager or sdpa.
- A quantised cache (`cache_implementation="quantized"`) keeps the tokens as any other does; its backend fp8 is tested.
- 8-bit weights of bitsandbytes answer and let the gradient pass. So do 4-bit weights, until they answer for the first
  time on a CPU that packs them for inference; from then on training is refused, since no gradient would pass.
- An LM whose masks are not those of its layer types (a window that its config names and its code does not use) is
  noticed in the first pass, and refused there.
"""
"""What tests say of things that are no families."""


def page(result: dict[str, Any], command: str) -> str:
    """A Markdown page: the count, what was checked, and a table of all families.

    Args:
        result: what `run` returned.
        command: how to make the page again.
    """
    found = result["families"]
    counts = Counter(entry["status"] for entry in found.values())
    versions = result["provenance"]["versions"]
    lines = [
        "# Which decoders work",
        "",
        f"Of the {len(found)} families that Transformers {versions['transformers']} registers for causal LM, "
        f"**{counts['pass']} pass every check**, {counts['refused']} are refused at construction with the reason, "
        f"and {counts['fail']} fail.",
        "",
        f"Made by `{command}` with torch {versions['torch']} on {result['provenance']['date'][:10]}: a tiny "
        "random model of each family, float32 on the CPU.",
        "",
        "## The checks",
        "",
        "| check | compares | at most |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {meaning} | {_tolerance(found, name)} |" for name, meaning in MEANING.items()]
    lines += ["", "Differences of logits are divided by the largest logit, or by 1 where that is smaller.", ""]
    lines += ["## The families that pass", "", "| family | largest difference | |", "|---|---|---|"]
    lines += [
        f"| {family} | {_worst(entry)} | {_notes(family, entry)} |"
        for family, entry in found.items()
        if entry["status"] == "pass"
    ]
    lines += ["", "## The families that do not", "", "| family | status | reason |", "|---|---|---|"]
    lines += [
        f"| {family} | {entry['status']} | {_escaped(entry['reason'])} |"
        for family, entry in found.items()
        if entry["status"] != "pass"
    ]
    lines += ["", *BESIDE.rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def _tolerance(found: dict[str, Any], check: str) -> str:
    tolerances = [entry["checks"][check]["tolerance"] for entry in found.values() if check in entry["checks"]]
    return f"{min(tolerances):g}" if tolerances else ""


def _worst(entry: dict[str, Any]) -> str:
    values = [check["value"] for check in entry["checks"].values() if check["value"] is not None]
    return f"{max(values):.1e}"


def _notes(family: str, entry: dict[str, Any]) -> str:
    """What the LM does not offer, where the plain LM misses as well, and which of the family's configs are refused."""
    notes = [LIMITS[family]] if family in LIMITS else []
    for name, check in entry["checks"].items():
        if check["value"] is None or "plain LM" in check["note"]:
            notes.append(f"{name}: {check['note']}")
    return _escaped("; ".join(notes))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
