"""The figures of a report: what is drawn against what. Knows points, reads no file; `drawing` draws."""

from collections.abc import Iterable, Sequence
from typing import Final

from midstream.errors import InputError
from midstream.report import drawing
from midstream.report.drawing import Axes, Figure, Style
from midstream.report.points import Point, conditions_of

SEARCHED: Final = "validation"
"""The split that settings were chosen on; it is drawn where there is no other."""
COSTS: Final = (
    ("prefill_ms", 1.0, "milliseconds to the first token, encoder included"),
    ("train_step_flops", 1e-9, "GFLOPs of a training step, by the ledger"),
)


def figures_of(points: Sequence[Point]) -> dict[str, Figure]:
    """Name -> figure, of those that the points allow: depth, cost, data, controls.

    Raises:
        InputError: matplotlib is not installed.
    """
    _matplotlib()
    points = [point for point in points if point.split != SEARCHED] or list(points)
    style = drawing.styles([point.method for point in points])  # a method looks the same in all of them
    drawn = {name: draw(points, style) for name, draw in (("depth", depth), ("cost", cost), ("data", data))}
    drawn["controls"] = controls(points)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def depth(points: Sequence[Point], style: Style) -> Figure | None:
    """Accuracy against the layer at which tokens enter, of methods that were tried at several; None without one."""
    points = [point for point in points if point.mean("data_fraction") == 1 and point.mean("enter") is not None]
    entries: dict[tuple[str, ...], set[float]] = {}
    for point in points:
        entries.setdefault((point.panel, point.split, point.method), set()).add(point.mean("enter") or 0.0)
    points = [point for point in points if len(entries[point.panel, point.split, point.method]) > 1]
    if not points:
        return None

    def draw(axes: Axes, chosen: Sequence[Point], style: Style) -> None:
        drawing.series(axes, chosen, style, lambda point: point.mean("enter"), names.__getitem__)
        layers = chosen[0].first["layers"] or 1 + max(int(point.mean("enter") or 0) for point in chosen)
        axes.set_xlim(-0.4, layers - 0.6)
        axes.set_xticks(range(0, layers, max(1, layers // 16)))
        axes.set_xlabel(f"layer at which the tokens enter, of {layers}")
        drawing.control_lines(axes, chosen)

    names = _lines(points)
    return drawing.panels(points, draw, _styled(style, names.values()))


def data(points: Sequence[Point], style: Style) -> Figure | None:
    """Accuracy against the share of the data, of what was trained on several shares; None where nothing was."""
    shares_of: dict[tuple[str, ...], set[float]] = {}
    for point in points:
        key = (point.panel, point.split, _series_name(point))
        shares_of.setdefault(key, set()).add(point.mean("data_fraction") or 1.0)
    points = [point for point in points if len(shares_of[point.panel, point.split, _series_name(point)]) > 1]
    if not points:
        return None

    def draw(axes: Axes, chosen: Sequence[Point], style: Style) -> None:
        drawing.series(axes, chosen, style, lambda point: point.mean("data_fraction"), _series_name)
        shares = sorted({share for point in chosen if (share := point.mean("data_fraction"))})
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
        axes.minorticks_off()
        axes.set_xlabel("share of the training data")
        drawing.control_lines(axes, chosen)

    return drawing.panels(points, draw, _styled(style, [_series_name(point) for point in points]))


def cost(points: Sequence[Point], style: Style) -> Figure | None:
    """Accuracy against cost, measured and by the ledger, on the first split, with the front that nothing beats."""
    points = [point for point in points if point.split == points[0].split and point.mean("data_fraction") == 1]
    known = [name for name in COSTS if len([point for point in points if point.mean(name[0]) is not None]) > 1]
    if not known:
        return None
    panels = list(dict.fromkeys(point.panel for point in points))
    figure, grid = drawing.sheet(len(known), [drawing.PANEL[1]] * len(panels))
    for row, panel in enumerate(panels):
        chosen = [point for point in points if point.panel == panel]
        for column, (name, unit, words) in enumerate(known):
            axes = grid[row][column]
            there = [point for point in chosen if point.mean(name) is not None and point.interval() is not None]
            drawing.pareto(axes, there, [unit * (point.mean(name) or 0) for point in there], style)
            axes.set_xlabel(words)
            axes.set_title(f"{panel}: {points[0].split}" if len(panels) > 1 else points[0].split, loc="left")
    drawing.legend(figure, grid)
    return figure


def controls(points: Sequence[Point]) -> Figure | None:
    """Every setting beside its controls, one line each."""
    from matplotlib.lines import Line2D

    named = conditions_of(points)
    if len(named) < 2:
        return None
    groups = list(dict.fromkeys((point.panel, point.split) for point in points))
    lines = [sum((point.panel, point.split) == group for point in points) for group in groups]
    tallest = [max(lines[n : n + drawing.ACROSS]) for n in range(0, len(lines), drawing.ACROSS)]
    figure, grid = drawing.sheet(min(len(groups), drawing.ACROSS), [1.1 + 0.26 * count for count in tallest])
    style = drawing.styles(named)
    for axes, (panel, split) in zip(drawing.places(grid, len(groups)), groups, strict=True):
        chosen = [point for point in points if (point.panel, point.split) == (panel, split)]
        for height, point in enumerate(reversed(chosen)):
            axes.axhline(height, color="#e6e6e6", linewidth=0.8, zorder=0)
            for name in named:
                if (found := point.interval(name)) is not None:
                    ink, mark = style[name]
                    axes.plot([100 * found.low, 100 * found.high], [height] * 2, color=ink, linewidth=1.6, alpha=0.6)
                    axes.plot([100 * found.value], [height], mark, color=ink, markersize=5)
        axes.set_yticks(range(len(chosen)), [point.label for point in reversed(chosen)])
        axes.set_ylim(-0.6, len(chosen) - 0.4)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("score in %, bars are 95% intervals")
        axes.set_title(f"{panel}: {split}", loc="left")
    handles = [Line2D([], [], color=ink, marker=mark, linestyle="") for ink, mark in style.values()]
    drawing.below(figure, grid, handles, list(style))
    return figure


def _lines(points: Sequence[Point]) -> dict[Point, str]:
    """Point -> the line it lies on: its method's; another grid's is another one where both have it at one layer."""
    layers: dict[tuple[str, ...], dict[str, set[float | None]]] = {}
    for point in points:
        grids = layers.setdefault((point.panel, point.split, point.method), {})
        grids.setdefault(point.first["grid"], set()).add(point.mean("enter"))
    named = {}
    for point in points:
        grids, grid = layers[point.panel, point.split, point.method], point.first["grid"]
        first = next(iter(grids))
        other = grid != first and not grids[grid].isdisjoint(grids[first])
        named[point] = f"{point.method} ({grid})" if other else point.method
    return named


def _styled(style: Style, names: Iterable[str]) -> Style:
    """The methods' own looks where they serve, else one for each name."""
    return style if style.keys() >= set(names := list(names)) else drawing.styles(names)


def _series_name(point: Point) -> str:
    return f"{point.method}, {point.variant}" if point.variant else point.method


def _matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("a report needs matplotlib; install it with: pip install 'midstream[plots]'") from None
