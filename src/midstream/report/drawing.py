"""Panels, lines with their bands, fronts and legends, as matplotlib draws them.

Colours are those of M. Okabe and K. Ito (Color Universal Design, 2008), which colour-blind people tell apart; every
series also has a marker of its own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from midstream.report.points import Point
from midstream.report.statistics import front

INKS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MARKS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY: Final = "#666666"
LINES: Final = {"ceiling": (0, (6, 2)), "blind": (0, (2, 2)), "shuffled": (0, (1, 1)), "untrained": (0, (4, 1, 1, 1))}
PANEL: Final = (5.4, 3.9)
ACROSS: Final = 3
"""Panels side by side; more of them go below."""
DPI: Final = 160
Style: TypeAlias = dict[str, tuple[str, str]]
"""Series -> its colour and its marker."""
Axes: TypeAlias = Any
Figure: TypeAlias = Any


def panels(points: Sequence[Point], draw: Callable[..., None], style: Style) -> Figure:
    """One panel for each data set, language model and split."""
    groups = list(dict.fromkeys((point.panel, point.split) for point in points))
    figure, grid = sheet(min(len(groups), ACROSS), [PANEL[1]] * -(-len(groups) // ACROSS))
    for axes, (panel, split) in zip(places(grid, len(groups)), groups, strict=True):
        draw(axes, [point for point in points if (point.panel, point.split) == (panel, split)], style)
        axes.set_title(f"{panel}: {split}", loc="left")
        axes.set_ylabel("score in %")
    legend(figure, grid)
    return figure


def series(
    axes: Axes,
    points: Sequence[Point],
    style: Style,
    at: Callable[[Point], float | None],
    name: Callable[[Point], str],
) -> None:
    """A line with its band for each series, or single marks where several of its points lie at one place."""
    for told in dict.fromkeys(name(point) for point in points):
        own = sorted((point for point in points if name(point) == told), key=lambda point: at(point) or 0)
        found = [(at(point), point.interval(), point) for point in own]
        shown = [(x, interval, point) for x, interval, point in found if x is not None and interval is not None]
        if not shown:
            continue
        ink, mark = style[told]
        xs = [x for x, _, _ in shown]
        lows, highs = [100 * i.low for _, i, _ in shown], [100 * i.high for _, i, _ in shown]
        values = [100 * i.value for _, i, _ in shown]
        alone = len(set(xs)) < len(xs) or len(xs) == 1  # variants at one place are no line
        axes.plot(xs, values, "" if alone else "-", color=ink, marker=mark, markersize=5, linewidth=1.6, label=told)
        if alone:
            axes.vlines(xs, lows, highs, color=ink, linewidth=1.6, alpha=0.6)
        else:
            axes.fill_between(xs, lows, highs, color=ink, alpha=0.18, linewidth=0)
        for x, _, point in shown:
            runs = point.rows["accuracy"]
            if len(runs) > 1:
                axes.plot([x] * len(runs), [100 * row["value"] for row in runs], ".", color=ink, markersize=3)
    axes.set_ylim(-2, 102)


def control_lines(axes: Axes, points: Sequence[Point]) -> None:
    """Controls as horizontal lines: the mean over what is shown."""
    for name, line in LINES.items():
        found = [interval.value for point in points if (interval := point.interval(name)) is not None]
        if found:
            value = 100 * sum(found) / len(found)
            axes.axhline(value, color=GREY, linestyle=line, linewidth=1.1, label=name, zorder=0)


def pareto(axes: Axes, points: Sequence[Point], costs: Sequence[float], style: Style) -> None:
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


def styles(names: Sequence[str]) -> Style:
    unique = dict.fromkeys(names)
    return {name: (INKS[n % len(INKS)], MARKS[(n + n // len(INKS)) % len(MARKS)]) for n, name in enumerate(unique)}


def sheet(columns: int, heights: Sequence[float]) -> tuple[Figure, Any]:
    """A figure of panels: as many rows as there are heights, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    figure = Sheet(figsize=(PANEL[0] * columns, sum(heights) + 0.5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8)
    return figure, grid


def places(grid: Any, count: int) -> list[Axes]:
    """The first `count` places of a sheet; what is left over stays white."""
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return list(grid.flat[:count])


def legend(figure: Figure, grid: Any) -> None:
    """One legend below all panels."""
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    below(figure, grid, list(entries.values()), list(entries))


def below(figure: Figure, grid: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend below all panels, no wider than they are."""
    across = min(len(labels), 3 * grid.shape[1], 7)
    figure.legend(handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=8)
