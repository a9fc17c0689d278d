"""Write the generated blocks of README.md and man/pages: ``python -m tests.tools.write_readme``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from obsup.dialects.registry import find_dialect
from obsup.engine.plan.stream_plan import growing, parts_in_memory
from obsup.exit_status import EXIT_STATUSES
from obsup.units import format_size
from tests.support.readme import (
    CRON_PAGE,
    FAILURES_PAGE,
    PARAMETERS_PAGE,
    README,
    STREAMS_PAGE,
    block,
    blocks,
)
from tests.tools.failure_table import failure_table
from tests.tools.parameter_tables import call_table, header_table, result_table
from tests.tools.survival_table import survival_table


def exit_table() -> str:
    """Return the exit status table in Markdown."""
    rows = [f"| {row.codes} | {row.meaning} | {row.action} |" for row in EXIT_STATUSES]
    return "\n".join(["| code | meaning | what cron should do |", "| --- | --- | --- |", *rows])


def stream_table() -> str:
    """Return the part sizes and the memory of streams of some sizes, in Markdown."""
    sizes = growing(find_dialect("obs").limits)
    rows = ["| stream | its last parts | of them in memory | memory |", "| --- | --- | --- | --- |"]
    for name, size in STREAMS:
        part_size = sizes.size_of(sizes.count_of(size))
        count = parts_in_memory(part_size, sizes.start, JOBS)
        rows.append(f"| {name} | {format_size(part_size)} | {count} | {format_size(count * part_size)} |")
    return "\n".join(rows)


def cron_recipe() -> str:
    """Return the script and the crontab of obsup-cron(7)."""
    marks = ("cron script", "crontab")
    kinds = {block.mark: block.kind for block in blocks(CRON_PAGE)}
    return "\n\n".join(f"```{kinds[mark]}\n{block(CRON_PAGE, mark)}```" for mark in marks)


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
    README: {
        "survival": survival_table,
        "exits": exit_table,
        "parameters": header_table,
        "cron": cron_recipe,
    },
    FAILURES_PAGE: {"failures": failure_table},
    STREAMS_PAGE: {"streams": stream_table},
    PARAMETERS_PAGE: {"calls": call_table, "results": result_table, "parameters": header_table},
}


def render(page: Path) -> str:
    """Return the text of *page* with every generated block up to date."""
    text = page.read_text()
    for name, make in BLOCKS[page].items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in BLOCKS:
        page.write_text(render(page))
