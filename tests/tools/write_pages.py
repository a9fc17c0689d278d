"""Write the generated blocks of man/pages: ``python -m tests.tools.write_pages``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from obsup.dialects.registry import find_dialect
from obsup.engine.plan.stream_plan import growing, parts_in_memory
from obsup.units import format_size
from tests.support.readme import (
    FAILURES_PAGE,
    GUARANTEES_PAGE,
    PARAMETERS_PAGE,
    STORES_PAGE,
    STREAMS_PAGE,
    with_section,
)
from tests.tools.failure_table import failure_table
from tests.tools.parameter_tables import header_table
from tests.tools.store_sections import sections
from tests.tools.survival_table import run_table, survival_table
from tests.tools.vendor_rows import vendor_tables


def stream_table() -> str:
    """Return the part sizes and the memory of streams of some sizes, in Markdown."""
    sizes = growing(find_dialect("obs").limits)
    rows = ["| stream | its last parts | of them in memory | memory |", "| --- | --- | --- | --- |"]
    for name, size in STREAMS:
        part_size = sizes.size_of(sizes.count_of(size))
        count = parts_in_memory(part_size, sizes.start, JOBS)
        rows.append(f"| {name} | {format_size(part_size)} | {count} | {format_size(count * part_size)} |")
    return "\n".join(rows)


JOBS = 5  # the default
STREAMS = (
    ("1 GB", 10**9),
    ("5 GB", 5 * 10**9),
    ("10 GB", 10**10),
    ("100 GB", 10**11),
    ("1 TB", 10**12),
    ("48.8 TB", 488 * 10**11),
)

BLOCKS: dict[Path, dict[str, Callable[[], str]]] = {
    GUARANTEES_PAGE: {"survival": survival_table, "runs": run_table},
    FAILURES_PAGE: {"failures": failure_table},
    STORES_PAGE: {"stores": sections},
    STREAMS_PAGE: {"streams": stream_table},
    PARAMETERS_PAGE: {"rows": vendor_tables, "parameters": header_table},
}


def render(page: Path) -> str:
    """Return the text of *page* with every generated block up to date."""
    text = page.read_text()
    for name, make in BLOCKS[page].items():
        text = with_section(text, name, make())
    return text


if __name__ == "__main__":
    for page in BLOCKS:
        page.write_text(render(page))
