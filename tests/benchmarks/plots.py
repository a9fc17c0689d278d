"""Two SVG pictures: bars by tool, and lines against size and parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.benchmarks.results import GIB, Results

WIDTH = 760
INK, FAINT, OWN, OTHER, SECOND = "#444", "#ccc", "#2a6fb0", "#b8b8b8", "#d08020"


def bars(results: Results) -> str:
    """Return a bar per row over http; those of obsup have their own colour."""
    rows = sorted(
        (
            (one.title, one.costs["http"].cpu_s * GIB / results.size, one.peer)
            for one in results.rows
            if "http" in one.costs
        ),
        key=lambda row: row[1],
    )
    left, step, longest = 290, 22, max((cpu for _, cpu, _ in rows), default=1.0)
    parts = [_text(10, 20, "CPU seconds of the client per GiB, over http (less is better)", size=14)]
    for index, (title, cpu, peer) in enumerate(rows):
        top = 36 + index * step
        width = (WIDTH - left - 60) * cpu / longest
        colour = OWN if peer == "obsup" else OTHER
        parts.append(f'<rect x="{left}" y="{top}" width="{width:.1f}" height="16" fill="{colour}"/>')
        parts.append(_text(left - 8, top + 13, title, anchor="end"))
        parts.append(_text(left + width + 6, top + 13, f"{cpu:.2f}"))
    return _svg(parts, 36 + len(rows) * step + 10)


def lines(results: Results) -> str:
    """Return CPU time against size and against parts, on logarithmic scales: a linear cost is a straight line."""
    total = _of_parts(results)
    sizes = [row for row in results.sizes if row.size != total or row.parts == -(-row.size // (16 << 20))]
    parts = [row for row in results.sizes if row.size == total]
    height = 300
    drawn = []
    for left, title, rows, unit in (
        (60, "CPU s against size, MiB (parts of 16 MiB)", sizes, "size"),
        (440, f"CPU s against parts of {total // GIB} GiB", parts, "parts"),
    ):
        curves = []
        for hashed, colour in ((False, OWN), (True, SECOND)):
            points = [
                ((row.size / (1 << 20)) if unit == "size" else row.parts, row.cost.cpu_s)
                for row in rows
                if row.hashed == hashed
            ]
            curves.append((sorted(set(points)), colour))
        drawn += _chart(left, 40, 280, height - 90, title, curves)
    drawn.append(_text(60, height - 8, "blue: --digest none; orange: MD5 compared with the ETag"))
    return _svg(drawn, height)


def _of_parts(results: Results) -> int:
    """Return the size that was measured with several numbers of parts."""
    counts: dict[int, set[int]] = {}
    for row in results.sizes:
        counts.setdefault(row.size, set()).add(row.parts)
    return max(counts, key=lambda size: len(counts[size]), default=GIB)


def _chart(
    left: int,
    top: int,
    width: int,
    height: int,
    title: str,
    curves: Sequence[tuple[list[tuple[float, float]], str]],
) -> list[str]:
    points = [point for curve, _ in curves for point in curve if min(point) > 0]
    if not points:
        return []
    x_range = _decades([x for x, _ in points])
    y_range = _decades([y for _, y in points])

    def position(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - x_range[0]) / (x_range[1] - x_range[0])
        up = (math.log10(y) - y_range[0]) / (y_range[1] - y_range[0])
        return left + along * width, top + height - up * height

    drawn = [_text(left, top - 14, title, size=13)]
    for decade in range(x_range[0], x_range[1] + 1):
        x, _ = position(10.0**decade, 10.0 ** y_range[0])
        drawn.append(f'<path d="M{x:.1f} {top}v{height}" stroke="{FAINT}"/>')
        drawn.append(_text(x, top + height + 16, f"{10.0**decade:g}", anchor="middle"))
    for decade in range(y_range[0], y_range[1] + 1):
        _, y = position(10.0 ** x_range[0], 10.0**decade)
        drawn.append(f'<path d="M{left} {y:.1f}h{width}" stroke="{FAINT}"/>')
        drawn.append(_text(left - 6, y + 4, f"{10.0**decade:g}", anchor="end"))
    for curve, colour in curves:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (position(*point) for point in curve))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return drawn


def _decades(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
