"""How a schedule is written on a command line: `deep_insert:L/2`, `window:4:20`, `ep_alm:19:30:6`, or a JSON object.

A preset's arguments follow its name in order, parted by colons; layers may be shares of the depth (`L/4`, `3L/8`), and
several values of one argument are parted by commas. Knows no LM but its depth.
"""

import inspect
import json
import re
from typing import Any

from midstream.errors import InputError
from midstream.presets import PRESETS
from midstream.schedule import Schedule

SHARE = re.compile(r"(\d*)L(?:/(\d+))?$")


def spell(text: str, depth: int) -> Schedule:
    """The schedule that `text` names, on an LM of `depth` layers.

    Raises:
        InputError: no such preset, wrong arguments, or a layer that the LM does not have.
    """
    if text.lstrip().startswith("{"):
        try:
            return Schedule.from_dict(json.loads(text)).validate(depth, text)
        except json.JSONDecodeError as error:
            raise InputError(f"schedule {text!r} is not JSON: {error}") from None
    name, *words = text.split(":")
    if name not in PRESETS:
        raise InputError(f"unknown schedule {name!r} in {text!r}; choose one of {', '.join(sorted(PRESETS))}")
    make: Any = PRESETS[name]
    values = [_value(word, depth, text) for word in words]
    try:
        inspect.signature(make).bind(*values)
    except TypeError:
        wanted = ":".join(parameter.upper() for parameter in inspect.signature(make).parameters)
        raise InputError(f"schedule {text!r} is not {name}{':' + wanted if wanted else ' alone'}") from None
    return make(*values).validate(depth, text)


def _value(word: str, depth: int, text: str) -> Any:
    if "," in word:
        return tuple(_value(part, depth, text) for part in word.split(",") if part)
    if share := SHARE.fullmatch(word):
        return depth * int(share[1] or 1) // int(share[2] or 1)
    try:
        return float(word) if "." in word else int(word)
    except ValueError:
        raise InputError(
            f"{word!r} in schedule {text!r} is neither a number nor a share of the depth like L/2"
        ) from None
