"""Schedules as a picture: layers from left to right, and in each the tokens that are there. Needs the extra `plots`."""

from collections.abc import Mapping
from pathlib import Path

from midstream.errors import InputError
from midstream.schedule import Schedule, State

TEXT = "#c9ced6"
COLOURS: dict[State, str] = {"active": "#2b6cb0", "readable": "#90cdf4", "parked": "#edf2f7", "absent": "#ffffff"}
WRITTEN = {"replace": "#dd6b20", "add": "#38a169"}


def draw_schedules(schedules: Mapping[str, Schedule], num_layers: int, path: str | Path, tokens: int = 16) -> None:
    """Write a PNG (or what the ending says) with one strip for each schedule.

    A strip's height is the share of the tokens that is on board; dark blue are active ones, light blue those that are
    only read, grey those that are parked; an orange edge is where tokens are written, a green one where they are added.

    Args:
        schedules: label -> schedule, top to bottom.
        num_layers: of the LM.
        tokens: of one slot, to reckon what a keep leaves.

    Raises:
        InputError: matplotlib is not installed, or a schedule does not fit the LM.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError:
        raise InputError("pictures need matplotlib; install it with: pip install 'midstream[plots]'") from None
    figure = Figure(figsize=(2.4 + 0.32 * num_layers, 0.5 + 0.42 * len(schedules)), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, (label, schedule) in enumerate(schedules.items()):
        schedule.validate(num_layers, label)
        base = len(schedules) - 1 - row
        for layer in range(num_layers):
            axes.add_patch(Rectangle((layer, base), 0.94, 0.12, color=TEXT))
            height = 0.66 * schedule.kept(layer, tokens) / tokens
            if height:
                axes.add_patch(Rectangle((layer, base + 0.14), 0.94, height, color=COLOURS[schedule.state(layer)]))
            if write := schedule.write_at(layer):
                axes.add_patch(Rectangle((layer, base + 0.14), 0.14, height, color=WRITTEN[write.mode]))
    axes.set_xlim(-0.1, num_layers)
    axes.set_ylim(-0.15, len(schedules))
    axes.set_xticks([layer + 0.47 for layer in range(num_layers)], [str(layer) for layer in range(num_layers)])
    axes.set_yticks([len(schedules) - 0.6 - row for row in range(len(schedules))], list(schedules))
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("decoder layer", fontsize=8)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the picture {str(path)!r}: {error}") from None
