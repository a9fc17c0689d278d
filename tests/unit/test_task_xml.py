"""The task of obsup-cron(7) for the Task Scheduler of Windows is valid by the schema that Microsoft publishes.

Source: Win32 API reference, "Task Scheduler Schema"; the same types are in [MS-TSCH], section 2.5.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.support.readme import CRON_PAGE, block

NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
# Patterns of the simple types.
BOOLEAN, DURATION, TIME = (
    "true|false",
    r"P(?!$)(\d+D)?(T(?!$)(\d+H)?(\d+M)?)?",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
)
TEXT, PATH, DAYS = r"[\x20-\x7e]*", r"[\x20-\x7e]{1,260}", "[1-9][0-9]?"
POLICY = "Parallel|Queue|IgnoreNew|StopExisting"
# The children of each element that the task uses, with their types; those of a trigger have an order.
ALL: dict[str, dict[str, str]] = {
    "Task": {"RegistrationInfo": "", "Triggers": "", "Settings": "", "Principals": "", "Actions": ""},
    "RegistrationInfo": {"Author": TEXT, "Description": TEXT},
    "Triggers": {"CalendarTrigger": ""},
    "Repetition": {"Interval": DURATION, "Duration": DURATION, "StopAtDurationEnd": BOOLEAN},
    "ScheduleByDay": {"DaysInterval": DAYS},
    "Settings": {
        "MultipleInstancesPolicy": POLICY,
        "DisallowStartIfOnBatteries": BOOLEAN,
        "StopIfGoingOnBatteries": BOOLEAN,
        "StartWhenAvailable": BOOLEAN,
        "RunOnlyIfNetworkAvailable": BOOLEAN,
        "ExecutionTimeLimit": DURATION,
    },
    "Actions": {"Exec": ""},
    "Exec": {"Command": PATH, "Arguments": TEXT, "WorkingDirectory": PATH},
}
SEQUENCES = {
    "CalendarTrigger": {
        "Enabled": BOOLEAN,
        "StartBoundary": TIME,
        "EndBoundary": TIME,
        "Repetition": "",
        "ExecutionTimeLimit": DURATION,
        "RandomDelay": DURATION,
        "ScheduleByDay": "",
    }
}
REQUIRED = {
    "Task": "Actions",
    "Repetition": "Interval",
    "CalendarTrigger": "ScheduleByDay",
    "Exec": "Command",
}


def faults(element: ElementTree.Element) -> list[str]:
    """Return what the schema forbids in *element*."""
    name = element.tag.removeprefix(NAMESPACE)
    children = [child.tag.removeprefix(NAMESPACE) for child in element]
    allowed = {**ALL, **SEQUENCES}[name]
    found = [f"{name}: {one}" for one in children if one not in allowed or children.count(one) > 1]
    if found:
        return found
    if name in SEQUENCES and children != sorted(children, key=list(allowed).index):
        found.append(f"{name}: wrong order")
    if name in REQUIRED and REQUIRED[name] not in children:
        found.append(f"{name}: {REQUIRED[name]} is missing")
    for child, child_name in zip(element, children, strict=True):
        if not allowed[child_name]:
            found += faults(child)
        elif len(child) or not re.fullmatch(allowed[child_name], child.text or ""):
            found.append(f"{child_name}: {child.text}")
    return found


def test_the_task_is_valid() -> None:
    """ASCII without a declaration of another encoding; elements, order and values of the schema."""
    text = block(CRON_PAGE, "task")
    assert text.isascii()
    assert not text.startswith("<?xml")
    task = ElementTree.fromstring(text)
    assert task.attrib == {"version": "1.3"}
    assert faults(task) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Interval>PT1H</Interval>", ""),
        ("PT12H", "12 hours"),
        ("IgnoreNew", "Ignore"),
        ("<StartWhenAvailable>true</StartWhenAvailable>", "<StartIfAvailable>true</StartIfAvailable>"),
        ("Command>", "Program>"),
    ],
)
def test_an_invalid_task_is_found(old: str, new: str) -> None:
    """The check is not satisfied with anything."""
    text = block(CRON_PAGE, "task")
    assert old in text
    assert faults(ElementTree.fromstring(text.replace(old, new)))
