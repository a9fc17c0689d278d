"""The report of the benchmarks, also of an interrupted run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import plots, tables
from tests.benchmarks.__main__ import publish
from tests.benchmarks.cost import Cost
from tests.benchmarks.results import GIB, CheckpointCost, LimitedRow, Results, Row, SizeRow, StartRow, load

MIB = 1024 * 1024
EMPTY = Results("a machine", "C", size=2 * GIB, runs=3, limited_size=GIB, limited_rate=25_000_000)
COMPLETE = replace(
    EMPTY,
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
    limited=[
        LimitedRow("obsup --jobs auto", "obsup --digest none", Cost(1, 2.0, MIB), 32),
        LimitedRow("obsup --jobs 5", "obsup --digest none", Cost(1, 8.0, MIB), 5),
        LimitedRow("other", "other", Cost(1, 8.5, MIB), 5),
    ],
    sizes=[
        SizeRow(size, parts, hashed, Cost(0.3 * parts, 1.0, 40 * MIB))
        for size, parts in ((MIB, 1), (GIB, 64), (GIB, 10))
        for hashed in (False, True)
    ],
    starts=[StartRow("`obsup --help`", 0.05, 5.0)],
    checkpoints=[CheckpointCost(10_000, 0.5, 292)],
    versions={"obsup": "1", "other": "2"},
    missing={"third": "no such package"},
)


def test_saved_results_can_be_loaded(tmp_path: Path) -> None:
    COMPLETE.save(tmp_path / "kept")
    assert load(tmp_path / "kept") == COMPLETE


def test_the_table_compares_similar_variants() -> None:
    """CPU per GiB, the ratio to obsup without a digest, the rate with --jobs auto, and the largest peak memory."""
    text = tables.section(COMPLETE).splitlines()
    assert "| **obsup --digest none** | 0.40 |  | 1.00 |  | 537 | 40 |" in text
    assert "| other | 0.80 | 2.0 | – | – | 126 | 300 |" in text


def test_the_cost_of_the_checkpoint_is_reported() -> None:
    text = tables.section(COMPLETE)
    assert "The checkpoint of 10,000 parts takes 0.50 CPU s in total" in text
    assert "292 times" in text


def test_failed_and_missing_tools_are_reported() -> None:
    text = tables.section(COMPLETE)
    assert "Failed: other over https (exit 1: no)." in text
    assert "Not available here: third (no such package)." in text


@pytest.mark.parametrize("results", [COMPLETE, EMPTY, replace(COMPLETE, limited=[], sizes=[])])
def test_incomplete_results_are_reported(results: Results, tmp_path: Path) -> None:
    """The page keeps the text around the section; the pictures are SVG."""
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- benchmarks:begin -->\nold\n<!-- benchmarks:end -->\nafter\n")
    publish(results, page, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n<!-- benchmarks:begin -->\n")
    assert text.endswith("\n<!-- benchmarks:end -->\nafter\n")
    assert "old" not in text
    for picture in (plots.bars(results), plots.lines(results)):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
