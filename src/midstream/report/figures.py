"""The figures of a report, as matplotlib figures. Knows points, reads no file.

Colours are those of M. Okabe and K. Ito (Color Universal Design, 2008), which colour-blind people tell apart; every
series also has a marker of its own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from midstream.errors import InputError
from midstream.report.points import Point, conditions_of
from midstream.report.statistics import front

INKS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MARKS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY: Final = "#666666"
LINES: Final = {"ceiling": (0, (6, 2)), "blind": (0, (2, 2)), "shuffled": (0, (1, 1)), "untrained": (0, (4, 1, 1, 1))}
PANEL: Final = (5.4, 3.9)
ACROSS: Final = 3
"""Panels side by side; more of them go below."""
DPI: Final = 160
SEARCHED: Final = "validation"
"""The split that settings were chosen on; it is drawn where there is no other."""
Style: TypeAlias = dict[str, tuple[str, str]]
"""Series -> its colour and its marker."""
Axes: TypeAlias = Any
Figure: TypeAlias = Any

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
    style = _styles([point.method for point in points])  # a method looks the same in all of them
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
        _series(axes, chosen, style, lambda point: point.mean("enter"), _method)
        layers = chosen[0].first["layers"] or 1 + max(int(point.mean("enter") or 0) for point in chosen)
        axes.set_xlim(-0.4, layers - 0.6)
        axes.set_xticks(range(0, layers, max(1, layers // 16)))
        axes.set_xlabel(f"layer at which the tokens enter, of {layers}")
        _controls(axes, chosen)

    return _panels(points, draw, style)


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
        _series(axes, chosen, style, lambda point: point.mean("data_fraction"), _series_name)
        shares = sorted({share for point in chosen if (share := point.mean("data_fraction"))})
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
        axes.minorticks_off()
        axes.set_xlabel("share of the training data")
        _controls(axes, chosen)

    names = [_series_name(point) for point in points]
    return _panels(points, draw, style if style.keys() >= set(names) else _styles(names))


def cost(points: Sequence[Point], style: Style) -> Figure | None:
    """Accuracy against cost, measured and by the ledger, on the first split, with the front that nothing beats."""
    points = [point for point in points if point.split == points[0].split and point.mean("data_fraction") == 1]
    known = [name for name in COSTS if len([point for point in points if point.mean(name[0]) is not None]) > 1]
    if not known:
        return None
    panels = list(dict.fromkeys(point.panel for point in points))
    figure, grid = _sheet(len(known), len(panels))
    for row, panel in enumerate(panels):
        chosen = [point for point in points if point.panel == panel]
        for column, (name, unit, words) in enumerate(known):
            axes = grid[row][column]
            there = [point for point in chosen if point.mean(name) is not None and point.interval() is not None]
            _pareto(axes, there, [unit * (point.mean(name) or 0) for point in there], style)
            axes.set_xlabel(words)
            axes.set_title(f"{panel}: {points[0].split}" if len(panels) > 1 else points[0].split, loc="left")
    _legend(figure, grid)
    return figure


def controls(points: Sequence[Point]) -> Figure | None:
    """Every setting beside its controls, one line each."""
    from matplotlib.lines import Line2D

    named = conditions_of(points)
    if len(named) < 2:
        return None
    groups = list(dict.fromkeys((point.panel, point.split) for point in points))
    tallest = max(sum((point.panel, point.split) == group for point in points) for group in groups)
    size = (PANEL[0], 1.5 + 0.26 * tallest)
    figure, grid = _sheet(min(len(groups), ACROSS), -(-len(groups) // ACROSS), size)
    style = {name: (INKS[n % len(INKS)], MARKS[n % len(MARKS)]) for n, name in enumerate(named)}
    for axes, (panel, split) in zip(_places(grid, len(groups)), groups, strict=True):
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
    handles = [Line2D([], [], color=ink, marker=mark, linestyle="", label=name) for name, (ink, mark) in style.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False)
    return figure


def _method(point: Point) -> str:
    return point.method


def _series_name(point: Point) -> str:
    return f"{point.method}, {point.variant}" if point.variant else point.method


def _panels(points: Sequence[Point], draw: Callable[..., None], style: Style) -> Figure:
    """One panel for each data set, language model and split."""
    groups = list(dict.fromkeys((point.panel, point.split) for point in points))
    figure, grid = _sheet(min(len(groups), ACROSS), -(-len(groups) // ACROSS))
    for axes, (panel, split) in zip(_places(grid, len(groups)), groups, strict=True):
        draw(axes, [point for point in points if (point.panel, point.split) == (panel, split)], style)
        axes.set_title(f"{panel}: {split}", loc="left")
        axes.set_ylabel("score in %")
    _legend(figure, grid)
    return figure


def _series(
    axes: Axes,
    points: Sequence[Point],
    style: Style,
    at: Callable[[Point], float | None],
    name: Callable[[Point], str],
) -> None:
    """A line with its band for each series, or single marks where several of its points lie at one place."""
    for series in dict.fromkeys(name(point) for point in points):
        own = sorted((point for point in points if name(point) == series), key=lambda point: at(point) or 0)
        found = [(at(point), point.interval(), point) for point in own]
        shown = [(x, interval, point) for x, interval, point in found if x is not None and interval is not None]
        if not shown:
            continue
        ink, mark = style[series]
        xs = [x for x, _, _ in shown]
        lows, highs = [100 * i.low for _, i, _ in shown], [100 * i.high for _, i, _ in shown]
        values = [100 * i.value for _, i, _ in shown]
        alone = len(set(xs)) < len(xs) or len(xs) == 1  # variants at one place are no line
        axes.plot(xs, values, "" if alone else "-", color=ink, marker=mark, markersize=5, linewidth=1.6, label=series)
        if alone:
            axes.vlines(xs, lows, highs, color=ink, linewidth=1.6, alpha=0.6)
        else:
            axes.fill_between(xs, lows, highs, color=ink, alpha=0.18, linewidth=0)
        for x, _, point in shown:
            runs = point.rows["accuracy"]
            if len(runs) > 1:
                axes.plot([x] * len(runs), [100 * row["value"] for row in runs], ".", color=ink, markersize=3)
    axes.set_ylim(-2, 102)


def _controls(axes: Axes, points: Sequence[Point]) -> None:
    """Controls as horizontal lines: the mean over what is shown."""
    for name, line in LINES.items():
        found = [interval.value for point in points if (interval := point.interval(name)) is not None]
        if found:
            value = 100 * sum(found) / len(found)
            axes.axhline(value, color=GREY, linestyle=line, linewidth=1.1, label=name, zorder=0)


def _pareto(axes: Axes, points: Sequence[Point], costs: Sequence[float], style: Style) -> None:
    """Points with their intervals, names beside them, and the front as a staircase."""
    values = [interval.value for point in points if (interval := point.interval()) is not None]
    best = front(costs, values)
    many = Counter(point.method for point in points)
    names = [point.variant if many[point.method] > 1 and point.variant else point.method for point in points]
    for number, (point, x) in enumerate(zip(points, costs, strict=True)):
        ink, mark = style[point.method]
        interval = point.interval()
        assert interval is not None
        axes.vlines([x], 100 * interval.low, 100 * interval.high, color=ink, linewidth=1.6, alpha=0.6)
        axes.plot([x], [100 * interval.value], mark, color=ink, markersize=6, label=point.method)
        below = number % 2
        axes.annotate(
            names[number],
            (x, 100 * (interval.low if below else interval.high)),
            textcoords="offset points",
            xytext=(0, -9 if below else 3),
            ha="center",
            fontsize=6.5,
            color="#333333",
        )
    line = [(costs[n], 100 * values[n]) for n in best]
    axes.step(
        [x for x, _ in line], [y for _, y in line], where="post", color=GREY, linewidth=1, label="front", zorder=0
    )
    axes.set_ylim(-4, 104)
    axes.margins(x=0.12)
    axes.set_ylabel("score in %")


def _styles(names: Sequence[str]) -> Style:
    unique = dict.fromkeys(names)
    return {name: (INKS[n % len(INKS)], MARKS[(n + n // len(INKS)) % len(MARKS)]) for n, name in enumerate(unique)}


def _sheet(columns: int, rows: int, panel: tuple[float, float] = PANEL) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    figure = Sheet(figsize=(panel[0] * columns, panel[1] * rows + 0.5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8)
    return figure, grid


def _places(grid: Any, count: int) -> list[Axes]:
    """The first `count` places of a sheet; what is left over stays white."""
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return list(grid.flat[:count])


def _legend(figure: Figure, grid: Any) -> None:
    """One legend below all panels."""
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=min(len(entries), 7),
        frameon=False,
        fontsize=8,
    )


def _matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("a report needs matplotlib; install it with: pip install 'midstream[plots]'") from None
