"""The results as Markdown for obsup-benchmarks(7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.benchmarks.results import GIB, CheckpointCost, LimitedRow, Results, Row, SizeRow

MIB = 1024 * 1024
NONE = "–"


def section(results: Results) -> str:
    """Return the Markdown between the markers of the page."""
    return "\n\n".join(
        [
            _introduction(results),
            _costs(results),
            _notes(results),
            "![CPU seconds per GiB, by tool](../speed.svg)",
            "![CPU seconds against size and parts](../size.svg)",
            _subsection(
                "Obsup alone: start-up, sizes from 1 MiB to 64 GiB, 1 to 10,000 parts", _obsup_only(results)
            ),
            _subsection("Versions and machine", _versions(results)),
        ]
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table with right-aligned numbers."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _subsection(title: str, text: str) -> str:
    return f"### {title}\n\n{text}"


def _introduction(results: Results) -> str:
    return (
        f"{results.size / GIB:g} GiB from the page cache in parts of 16 MiB, 5 in flight, to a test server on the "
        "loopback interface that discards the bodies and counts them. CPU seconds of the "
        "client per GiB, with start-up, medians of "
        f"{results.runs} interleaved runs. For *limited MB/s* each connection is limited to "
        f"{results.limited_rate / 1e6:g} MB/s, as by many "
        f"routers and stores ({results.limited_size / GIB:g} GiB, http). `python -m "
        "tests.benchmarks` repeats the measurement."
    )


def _costs(results: Results) -> str:
    protocols = [name for name in ("http", "https") if any(name in row.costs for row in results.rows)]
    head = ["tool", *(cell for name in protocols for cell in (name, "× obsup")), "limited MB/s", "peak MiB"]
    rows = []
    for row in sorted(results.rows, key=lambda one: (one.hashed, _cpu(one, results, "http") or 1e9)):
        cells = [f"**{row.title}**" if row.peer == "obsup" else row.title]
        for protocol in protocols:
            cpu, base = _cpu(row, results, protocol), _base(results, protocol, hashed=row.hashed)
            ratio = NONE if cpu is None or base is None else f"{cpu / base:.1f}"
            cells += [NONE if cpu is None else f"{cpu:.2f}", "" if row.peer == "obsup" else ratio]
        peak = max((one.peak_bytes for one in row.costs.values()), default=0)
        cells += [_rate(_limited_row_of(row, results), results), f"{peak / MIB:.0f}"]
        rows.append(cells)
    return table(head, rows)


def _notes(results: Results) -> str:
    five = next((one for one in results.limited if one.at_once <= 5 and one.title.startswith("obsup")), None)
    auto = next((one for one in results.limited if one.title.startswith("obsup --jobs auto")), None)
    failed = [
        f"{row.title} over {name} ({why})"
        for row in results.rows
        for name, why in sorted(row.failures.items())
    ]
    missing = [f"{name} ({why})" for name, why in sorted(results.missing.items())]
    return " ".join(
        [
            "The first group does not verify the bytes; the second verifies or sends the checksum in brackets. "
            "*× obsup* compares the first group with `--digest none` and the others with obsup's default.",
            *_floors(results.floors),
            *_verifications(results),
            *(
                [
                    f"`--jobs auto`, the default, used {auto.at_once} connections on the limited network; "
                    f"with `--jobs 5` the rate is {_rate(five, results)} MB/s."
                ]
                if auto and five
                else []
            ),
            *([f"Failed: {', '.join(failed)}."] if failed else []),
            *([f"Not available here: {', '.join(missing)}."] if missing else []),
        ]
    )


def _floors(floors: Mapping[str, float]) -> list[str]:
    """Return the cost of hashing and sending without any tool, measured in the same run."""
    costs = ", ".join(f"{name} {cpu:.2f}" for name, cpu in floors.items())
    return [f"The cost without any tool, in the same run: {costs}."] if costs else []


def _verifications(results: Results) -> list[str]:
    costs = ", ".join(f"{one.cpu_s:.2f} by {one.title}" for one in results.verifications)
    return [f"`obsup verify`, in CPU s per GiB: {costs}."] if costs else []


def _cpu(row: Row, results: Results, protocol: str) -> float | None:
    return row.costs[protocol].cpu_s * GIB / results.size if protocol in row.costs else None


def _base(results: Results, protocol: str, *, hashed: bool) -> float | None:
    own = (row for row in results.rows if row.peer == "obsup" and row.hashed == hashed)
    return next((_cpu(row, results, protocol) for row in own), None)


def _limited_row_of(row: Row, results: Results) -> LimitedRow | None:
    return next((one for one in results.limited if one.way == row.title), None)


def _rate(row: LimitedRow | None, results: Results) -> str:
    return "" if row is None else f"{results.limited_size / row.cost.wall_s / 1e6:.0f}"


def _obsup_only(results: Results) -> str:
    rows = [[one.title, f"{one.cpu_s * 1000:.0f}", f"{one.times:.1f}"] for one in results.starts]
    starts = table(["start-up", "CPU ms", "× a bare interpreter"], rows)
    return "\n\n".join([starts, _sizes(results), *map(_checkpoint_text, results.checkpoints)])


def _checkpoint_text(one: CheckpointCost) -> str:
    return (
        f"The checkpoint of {one.parts:,} parts takes {one.cpu_s:.2f} CPU s in total, however "
        "slowly the parts arrive: it is "
        "written at most twice per second, and only if at least 2 % of its parts are new, "
        f"{one.writes} times, each time "
        "with an fsync of the file and of its directory. After a crash, missing records are read from the store."
    )


def _sizes(results: Results) -> str:
    rows = []
    for size, parts in dict.fromkeys((one.size, one.parts) for one in results.sizes):
        plain, hashed = (_of(results.sizes, size, parts, hashed=hashed) for hashed in (False, True))
        rows.append([_size_text(size), str(parts), *_cells(plain), *_cells(hashed)])
    head = ["sparse file", "parts", "CPU s", "s", "peak MiB", "with MD5: CPU s", "s", "peak MiB"]
    return table(head, rows)


def _of(rows: Iterable[SizeRow], size: int, parts: int, *, hashed: bool) -> SizeRow | None:
    return next((r for r in rows if (r.size, r.parts, r.hashed) == (size, parts, hashed)), None)


def _cells(row: SizeRow | None) -> list[str]:
    if row is None:
        return [NONE, NONE, NONE]
    return [f"{row.cost.cpu_s:.2f}", f"{row.cost.wall_s:.1f}", f"{row.cost.peak_bytes / MIB:.0f}"]


def _size_text(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"


def _versions(results: Results) -> str:
    versions = ", ".join(f"{name} {one}" for name, one in sorted(results.versions.items()))
    return f"{results.machine}; the sink in {results.sink}. {versions}."
