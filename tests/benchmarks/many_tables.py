"""The results for many files as Markdown for obsup-benchmarks(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.tables import table

if TYPE_CHECKING:
    from tests.benchmarks.many import ManyResults

MIB = 1024 * 1024
TITLES = {
    "small": "20,000 files of 4 KiB",
    "large": "200 files of 8 MiB",
    "mixture": "5,000 × 4 KiB, 500 × 256 KiB, 40 × 8 MiB, 2 × 64 MiB",
}


def section(results: ManyResults) -> str:
    """Return the Markdown between the markers of the page."""
    versions = ", ".join(f"{name} {one}" for name, one in sorted(results.versions.items()))
    missing = "".join(f" Not measured: {name} ({why})." for name, why in sorted(results.failures.items()))
    few = [
        f"{name} sends one file at a time and uploaded {results.files['small'][name]:,} of the small files, once"
        for name in results.files.get("small", {})
        if results.files["small"][name] < max(results.files["small"].values())
    ]
    words = (
        f"Measured with `python -m tests.benchmarks.many` on {results.machine}, over http to a test "
        "server on the loopback interface that hashes and counts the bodies; after each run "
        "it had received every file. Medians of "
        f"{results.runs} interleaved runs, with start-up, each tool with its defaults, except "
        "that rclone, which sends one more request "
        "per object, uses 32 transfers instead of 4. CPU and memory are those of all processes of the tool."
        f"{''.join(f' {one}.' for one in few)}"
    )
    return "\n\n".join([words, _table(results), f"Versions: {versions}.{missing}"])


def _table(results: ManyResults) -> str:
    rows = []
    for tree, title in TITLES.items():
        costs = results.costs.get(tree, {})
        rows.append([f"**{title}**", "", "", "", ""])
        for name in sorted(costs, key=lambda one: costs[one].wall_s / results.files[tree][one]):
            one, files, size = costs[name], results.files[tree][name], results.sizes[tree][name]
            rows.append(
                [
                    name,
                    f"{files / one.wall_s:,.0f}",
                    f"{size / one.wall_s / 1e6:,.1f}",
                    f"{one.cpu_s:.1f}",
                    f"{one.peak_bytes / MIB:.0f}",
                ]
            )
    return table(["", "files/s", "MB/s", "CPU s", "peak MiB"], rows)
