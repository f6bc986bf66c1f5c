"""How a schedule is written on a command line: `deep_insert:L/2`, `window:4:20`, `ep_alm:19:30:6`, or a JSON object.

A preset's arguments follow its name in order, parted by colons; layers may be shares of the depth (`L/4`, `3L/8`), and
several values of one argument are parted by commas. Knows no LM but its depth.
"""

import inspect
import json
import re
from typing import Any, Literal, get_origin

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
    parameters = list(inspect.signature(make).parameters.values())
    needed = sum(parameter.default is parameter.empty for parameter in parameters)
    if not needed <= len(words) <= len(parameters):
        wanted = ":".join(parameter.name.upper() for parameter in parameters)
        raise InputError(f"schedule {text!r} is not {name}{':' + wanted if wanted else ' alone'}")
    values = [_argument(word, parameter, depth, text) for word, parameter in zip(words, parameters, strict=False)]
    return make(*values).validate(depth, text)


def _argument(word: str, parameter: inspect.Parameter, depth: int, text: str) -> Any:
    """One argument, of the kind that the preset's signature names."""
    kind = get_origin(parameter.annotation)
    if kind is Literal:
        return word
    values = tuple(_number(part, depth, text) for part in word.split(","))
    if kind is tuple:
        return values
    if len(values) > 1:
        raise InputError(f"schedule {text!r} gives several values, {word!r}, for one {parameter.name}")
    return values[0]


def _number(word: str, depth: int, text: str) -> float | int:
    if share := SHARE.fullmatch(word):
        return depth * int(share[1] or 1) // int(share[2] or 1)
    try:
        return float(word) if "." in word else int(word)
    except ValueError:
        raise InputError(
            f"{word!r} in schedule {text!r} is neither a number nor a share of the depth like L/2"
        ) from None
