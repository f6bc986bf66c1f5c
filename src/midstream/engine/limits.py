"""What this LM cannot do, whatever the routing: layers that it passes by, padding in a state, embeddings read again."""

from collections.abc import Mapping

from midstream.engine.anatomy import Anatomy
from midstream.engine.call import Call
from midstream.engine.kinds import UNMIXED
from midstream.engine.ordinary import EMBEDDINGS
from midstream.engine.placement import Group
from midstream.errors import InputError
from midstream.schedule import Schedule


def check_layers(anatomy: Anatomy, schedules: Mapping[str, Schedule]) -> None:
    """Refuse schedules that these layers cannot follow.

    Raises:
        InputError: no layer that the tokens live in reads other columns; they change where the LM passes a layer by;
            or they are only to be read where the layer reads the input embeddings too.
    """
    for name, schedule in schedules.items():
        states = [schedule.state(layer) for layer in range(len(anatomy.kinds))]
        lives = [layer for layer, state in enumerate(states) if state in ("active", "readable")]
        if all(anatomy.kinds[layer] in UNMIXED for layer in lives):
            raise InputError(
                f"no text reads the tokens of {name}: the layers {lives} that they live in are of types "
                f"{sorted({anatomy.kinds[layer] for layer in lives})}; let them enter earlier"
            )
        for layer, kind in enumerate(anatomy.kinds):
            dropped = any(keep.layer == layer for keep in schedule.keeps)
            changes = states[layer] != (states[layer - 1] if layer else "absent")
            if kind == "skipped" and (schedule.write_at(layer) or dropped or changes):
                raise InputError(
                    f"the tokens of {name} change at layer {layer}, which the LM passes by when it is given no picture "
                    f"of its own; choose layer {layer + 1}"
                )
            asked = any(keep.looks_at == layer for keep in schedule.keeps)
            if (states[layer] == "readable" or asked) and EMBEDDINGS & set(anatomy.arguments[layer]):
                raise InputError(
                    f"the tokens of {name} are to be read or chosen in layer {layer}, which also reads the input "
                    f"embeddings; make them active there, or keep by norm"
                )


def check_states(anatomy: Anatomy, call: Call, groups: tuple[Group, ...], keeps_cache: bool) -> None:
    """Refuse what would leave a state wrong.

    Raises:
        InputError: rows of different lengths where the layers cannot be told, padding after what was read already, or
            several columns at once where the layers would forget what they have read.
    """
    whole = {tuple((name, 0) for name, _ in group) for group in groups}  # what is dropped is not chosen yet
    widest = max(call.layout(group).width for group in whole)
    if anatomy.restarts and call.start and widest > 1:
        raise InputError(
            f"the LM's layers forget what they have read when {widest} columns come at once on a cache; "
            f"go on one column at a time and without media, or begin the conversation anew"
        )
    for group in whole:
        valid_BW = call.layout(group).valid_BW
        if bool(valid_BW.all()):
            continue
        if not anatomy.reads_padding:
            raise InputError(
                "the LM's layers are not told what is padding, so rows must be equally long, tokens included; "
                "give rows of one length, or one at a time"
            )
        at_left = not bool((valid_BW[:, 1:] < valid_BW[:, :-1]).any())
        if call.start or (keeps_cache and not at_left):
            remedy = (
                "continue rows that bring equally many tokens" if call.start else "pad on the left, or use_cache=False"
            )
            raise InputError(
                f"the LM folds what it reads into a state, and padding would leave a trace in it; {remedy}"
            )


def check_gradients(anatomy: Anatomy, first: int) -> None:
    """Refuse to train through layers that let no gradient pass, from layer `first` on.

    Raises:
        InputError: bitsandbytes has packed 4-bit weights for inference on a CPU, which cuts the gradient silently.
    """
    for number, layer in enumerate(anatomy.layers[first:], first):
        for module in layer.modules():
            state = getattr(getattr(module, "weight", None), "quant_state", None)
            if getattr(state, "packing_format_for_cpu", False):
                raise InputError(
                    f"bitsandbytes has packed the 4-bit weights of layer {number} for inference on this CPU, and no "
                    f"gradient passes them any more; load the LM anew and train before it answers, or load it in 8 bits"
                )
