"""A second, independent reading of the pocket series: descriptions back to recordings, questions to answers."""

from __future__ import annotations

import re

from midstream.pocket.series.world import CHANNELS, FAULTS, LEVELS, TIMES, TRENDS, WAVES, Fault, Line, Recording

_FIELDS = {"trend": TRENDS, "wave": WAVES, "level": LEVELS}
_NUMBERS = ("zero", "one", "two", "three")


def recording_of(description: str) -> Recording:
    """The recording that a description in any grammar says. Raises where something is missing or contradicts itself."""
    said: dict[tuple[str, str], str] = {}
    fault: Fault | None = None
    for clause in re.split(r"\. |, (?=an? |nothing)", description.rstrip(".")):
        words = re.findall(r"[a-z]+", clause)
        colours = [word for word in words if word in CHANNELS]
        kind = next((word for word in words if word in FAULTS), None)
        if kind:
            fault = Fault(kind, next(word for word in words if word in TIMES), colours[0])
        for field, known in _FIELDS.items():
            for word in (word for word in words if word in known):
                for colour in colours:
                    assert said.setdefault((colour, field), word) == word, description
    lines = [Line(c, said[c, "trend"], said[c, "wave"], said[c, "level"]) for c in CHANNELS]
    assert ("nothing is wrong" in description or description.count("nothing wrong") == 3) == (fault is None)
    return Recording(tuple(lines), fault)


def lines_meant(phrase: str, recording: Recording) -> list[Line]:
    """Every line that the words of a noun phrase fit."""
    found = list(recording.lines)
    for word in re.findall(r"[a-z]+", phrase):
        if word in FAULTS:
            fault = recording.fault
            found = [line for line in found if fault and fault.kind == word and fault.colour == line.colour]
        elif any(word in known for known in (CHANNELS, *_FIELDS.values())):
            found = [line for line in found if word in line]
    return found


def answer(text: str, recording: Recording) -> str:
    """The answer to a question, re-derived. Raises ValueError where it is not understood or not unambiguous."""
    fault, body = recording.fault, text.rstrip("?")
    if text.startswith("how many"):
        return _NUMBERS[len(lines_meant(body, recording))]
    if body == "what is wrong":
        return f"a {fault.kind}" if fault else "nothing"
    if body == "is anything wrong":
        return "yes" if fault else "no"
    if body.startswith("is there a "):
        word = body.split()[-1]
        there = (fault is not None and fault.kind == word) if word in FAULTS else bool(lines_meant(body, recording))
        return "yes" if there else "no"
    if body.startswith(("where is", "in which place")):
        if fault is None or fault.kind != body.split()[-1]:
            raise ValueError(text)
        return fault.place
    names = re.findall(r"the (?:(?:[a-z]+ ){1,2}line|line with the [a-z]+)", body)
    meant = [lines_meant(name, recording) for name in names]
    if not meant or any(len(lines) != 1 for lines in meant):
        raise ValueError(f"{text}: {names}")
    return _about([lines[0] for lines in meant], body)


def _about(lines: list[Line], body: str) -> str:
    if len(lines) == 2:
        first, second = lines
        speed = {"smooth": 0, "slow": 1, "fast": 2}
        if body.startswith("which is faster"):
            return max(lines, key=lambda line: speed[line.wave]).colour
        if match := re.search(r"the same (\w+)", body):
            return "yes" if getattr(first, match[1]) == getattr(second, match[1]) else "no"
        if "faster" in body:
            return "yes" if speed[first.wave] > speed[second.wave] else "no"
        upper = first if "above" in body else second
        return "yes" if upper.level == "high" else "no"
    if "colour" in body:
        return lines[0].colour
    for field, known in _FIELDS.items():
        if f"{field} of" in body or f"which {field}" in body or body.endswith(f"{known[-2]} or {known[-1]}"):
            return str(getattr(lines[0], field))
    return "yes" if body.split()[-1] in lines[0] else "no"
