"""The results as README tells them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.benchmarks.results import GIB, Results, Row, SizeRow

MIB = 1024 * 1024


def section(results: Results) -> str:
    """Return the Markdown between README's markers."""
    return "\n\n".join(
        [
            _words(results),
            _costs(results),
            "![CPU seconds a GiB, by tool](man/speed.svg)",
            _line(results),
            _sizes(results),
            "![CPU seconds against size and parts](man/size.svg)",
            _starts(results),
        ]
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table, numbers to the right."""
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _words(results: Results) -> str:
    versions = ", ".join(f"{name} {one}" for name, one in sorted(results.versions.items()))
    missing = "".join(
        f" Not to be had here: {name} ({why})." for name, why in sorted(results.missing.items())
    )
    return (
        f"Measured on {results.machine}, against a sink in {results.sink} on the loopback that throws bodies away: "
        f"{results.size / GIB:g} GiB in the page cache, parts of 16 MiB, 5 in flight, medians of {results.runs} runs "
        f"in turn. CPU is that of the client, user and system, its start included.\n\nVersions: {versions}.{missing}"
    )


def _costs(results: Results) -> str:
    protocols = [name for name in ("http", "https") if any(name in row.costs for row in results.rows)]
    bases = {
        (hashed, protocol): _base(results.rows, hashed=hashed, protocol=protocol)
        for hashed in (False, True)
        for protocol in protocols
    }
    head = ["tool"]
    for protocol in protocols:
        head += [f"{protocol}: CPU s/GiB", "× obsup", "s"]
    rows = []
    for row in sorted(results.rows, key=lambda one: (one.hashed, _cpu(one, results, "http") or 1e9)):
        cells = [row.title]
        for protocol in protocols:
            cpu, base = _cpu(row, results, protocol), bases[row.hashed, protocol]
            if cpu is None or base is None:
                cells += ["–", "–", "–"]
                continue
            own = row.peer == "obsup"
            cells += [f"{cpu:.2f}", "" if own else f"{cpu / base:.1f}", f"{row.costs[protocol].wall_s:.1f}"]
        peak = max((one.peak_bytes for one in row.costs.values()), default=0)
        rows.append([*cells, f"{peak / MIB:.0f}"])
    return (
        f"{table([*head, 'peak MiB'], rows)}\n\n"
        "First without looking at the bytes, where a tool lets itself be told so, then with what it proves or sends "
        "along; *× obsup* compares with `obsup --digest none` and with obsup's default."
    )


def _cpu(row: Row, results: Results, protocol: str) -> float | None:
    return row.costs[protocol].cpu_s * GIB / results.size if protocol in row.costs else None


def _base(rows: Iterable[Row], *, hashed: bool, protocol: str) -> float | None:
    for row in rows:
        if row.peer == "obsup" and row.hashed == hashed and protocol in row.costs:
            return row.costs[protocol].cpu_s
    return None


def _line(results: Results) -> str:
    best = min((one.cost.wall_s for one in results.lines if one.title.startswith("obsup")), default=1.0)
    rows = [
        [
            one.title,
            f"{results.line_size / one.cost.wall_s / 1e6:.0f}",
            f"{one.cost.wall_s:.1f}",
            f"{one.cost.wall_s / best:.1f}",
            str(one.at_once),
        ]
        for one in sorted(results.lines, key=lambda one: one.cost.wall_s)
    ]
    head = [
        "over a line that gives each connection its share",
        "MB/s",
        "s",
        "× the fastest",
        "in flight at once",
    ]
    return (
        f"{table(head, rows)}\n\n{results.line_size / GIB:g} GiB where each connection gets "
        f"{results.line_rate / 1e6:g} MB/s: tools with five connections stand at five times that; `--jobs auto` "
        "tries out how many pay."
    )


def _sizes(results: Results) -> str:
    rows = []
    for size, parts in dict.fromkeys((one.size, one.parts) for one in results.sizes):
        plain, hashed = (_of(results.sizes, size, parts, hashed=hashed) for hashed in (False, True))
        rows.append([_named(size), str(parts), *_cells(plain), *_cells(hashed)])
    head = ["sparse file", "parts", "CPU s", "s", "peak MiB", "with MD5: CPU s", "s", "peak MiB"]
    return f"{table(head, rows)}\n\nMemory does not grow with the size of the source, nor with its parts."


def _of(rows: Iterable[SizeRow], size: int, parts: int, *, hashed: bool) -> SizeRow | None:
    return next((r for r in rows if (r.size, r.parts, r.hashed) == (size, parts, hashed)), None)


def _cells(row: SizeRow | None) -> list[str]:
    if row is None:
        return ["–", "–", "–"]
    return [f"{row.cost.cpu_s:.2f}", f"{row.cost.wall_s:.1f}", f"{row.cost.peak_bytes / MIB:.0f}"]


def _named(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"


def _starts(results: Results) -> str:
    rows = [[one.title, f"{one.cpu_s * 1000:.0f}", f"{one.times:.1f}"] for one in results.starts]
    return table(["start-up", "CPU ms", "× a bare interpreter"], rows)
