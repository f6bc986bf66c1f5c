"""The docs page of a compat run, as Markdown. Pure text from the result of `run`; measures nothing."""

from collections import Counter
from typing import Any

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
    "beams": "tokens of three beams, batched against one by one, that differ",
}
"""Check -> what its number compares."""


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
    lines += ["## The families", "", "| family | status | largest difference | |", "|---|---|---|---|"]
    lines += [f"| {family} | {entry['status']} | {_worst(entry)} | {_note(entry)} |" for family, entry in found.items()]
    return "\n".join(lines) + "\n"


def _tolerance(found: dict[str, Any], check: str) -> str:
    for entry in found.values():
        if check in entry["checks"]:
            return f"{entry['checks'][check]['tolerance']:g}"
    return ""


def _worst(entry: dict[str, Any]) -> str:
    values = [check["value"] for check in entry["checks"].values() if check["value"] is not None]
    return f"{max(values):.1e}" if values else ""


def _note(entry: dict[str, Any]) -> str:
    if entry["reason"]:
        return entry["reason"].replace("|", "\\|")
    return "; ".join(f"no {name}: {check['note']}" for name, check in entry["checks"].items() if check["value"] is None)
