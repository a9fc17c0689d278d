"""The benchmarks' report: what was measured is told as it is, also where a run was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import plots, tables
from tests.benchmarks.__main__ import BEGIN, END, publish
from tests.benchmarks.cost import Cost
from tests.benchmarks.results import GIB, Keeping, LineRow, Results, Row, SizeRow, StartRow, load

MIB = 1024 * 1024
BEGUN = Results("a machine", "C", size=2 * GIB, runs=3, line_size=GIB, line_rate=25_000_000)
WHOLE = replace(
    BEGUN,
    rows=[
        Row(
            "obsup --digest none",
            "obsup",
            False,
            {"http": Cost(0.8, 1.0, 40 * MIB), "https": Cost(2, 2, MIB)},
        ),
        Row("obsup (MD5)", "obsup", True, {"http": Cost(3.6, 2.0, 41 * MIB)}),
        Row("other", "other", False, {"http": Cost(1.6, 1.0, 300 * MIB)}, {"https": "exit 1: no"}),
    ],
    lines=[
        LineRow("obsup --jobs auto", "obsup --digest none", Cost(1, 2.0, MIB), 32),
        LineRow("obsup --jobs 5", "obsup --digest none", Cost(1, 8.0, MIB), 5),
        LineRow("other", "other", Cost(1, 8.5, MIB), 5),
    ],
    sizes=[
        SizeRow(size, parts, hashed, Cost(0.3 * parts, 1.0, 40 * MIB))
        for size, parts in ((MIB, 1), (GIB, 64), (GIB, 10))
        for hashed in (False, True)
    ],
    starts=[StartRow("`obsup --help`", 0.05, 5.0)],
    keeping=[Keeping(10_000, 0.5, 292)],
    versions={"obsup": "1", "other": "2"},
    missing={"third": "no such package"},
)


def test_what_is_kept_is_what_was_measured(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "kept")
    assert load(tmp_path / "kept") == WHOLE


def test_the_table_compares_with_the_like() -> None:
    """CPU a GiB; the ratio to obsup without a digest; the line by --jobs auto; the largest of the peaks."""
    told = tables.section(WHOLE).splitlines()
    assert "| **obsup --digest none** | 0.40 |  | 1.00 |  | 537 | 40 |" in told
    assert "| other | 0.80 | 2.0 | – | – | 126 | 300 |" in told


def test_what_the_checkpoint_takes_is_told() -> None:
    told = tables.section(WHOLE)
    assert "The checkpoint of 10,000 parts takes 0.50 CPU s in total" in told
    assert "292 times" in told


def test_what_failed_or_is_missing_is_said() -> None:
    told = tables.section(WHOLE)
    assert "Failed: other over https (exit 1: no)." in told
    assert "Not available here: third (no such package)." in told


@pytest.mark.parametrize("results", [WHOLE, BEGUN, replace(WHOLE, lines=[], sizes=[])])
def test_what_is_there_is_told(results: Results, tmp_path: Path) -> None:
    """README keeps what stands around the section; the pictures are SVG."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    publish(results, readme, tmp_path)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    for picture in (plots.bars(results), plots.lines(results)):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
