"""The places of obsup that make a next step or a note with a command line, found in its source text."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2] / "obsup"
_TABLES = ("failure_table", "network_failure_table", "protection_failure_table")
_STEPS = ("run_again", "NextStep", "Noted", "note")
_MIN_TEXT = 5


class Site(NamedTuple):
    """One place. ``name`` is its module, function and number in the function, or the first match of its rule.

    ``texts`` are those that its error always prints.
    """

    name: str
    texts: tuple[str, ...]


def find_sites() -> dict[str, Site]:
    """Return, by name, each ``run_again(…)``, ``NextStep(command=…)`` ``Noted(command=…)``, and rule of failures."""
    sites = [site for path in sorted(ROOT.rglob("*.py")) for site in _sites_of(path)]
    names = [site.name for site in sites]
    assert len(set(names)) == len(names), Counter(names).most_common(3)
    return {site.name: site for site in sites}


def _sites_of(path: Path) -> Iterator[Site]:
    text = path.read_text()
    is_table = path.stem in _TABLES
    if not (is_table or any(f"{name}(" in text for name in _STEPS)):
        return
    module = path.relative_to(ROOT).with_suffix("").as_posix()
    tree = ast.parse(text)
    seen: Counter[str] = Counter()
    constants: dict[str, ast.expr] = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call, parents in _calls(tree, ()):
        if is_table and not _name(parents):
            if _called(call) == "rule":
                # The clock's rule prints the measured difference instead of its text.
                shown = call.args[3:4] if "SET_CLOCK" in ast.unparse(call) else call.args[2:4]
                texts = [text for one in shown for text in _texts(one, constants)]
                yield Site(f"{module}: {_match(call)}", tuple(texts))
        elif _is_step(call) and not (module == "errors" and parents and _name(parents) == "run_again"):
            place = f"{module}: {_name(parents) or 'module'}"
            seen[place] += 1
            number = f" {seen[place]}" if seen[place] > 1 else ""
            around = [one for one in parents if isinstance(one, ast.Call) and call in one.args][-1:]
            texts = [text for one in (*around, call) for text in _texts(one, constants, apart_from=call)]
            yield Site(f"{place}{number}", (*texts, *_texts(call, constants)))


def _calls(node: ast.AST, parents: tuple[ast.AST, ...]) -> Iterator[tuple[ast.Call, tuple[ast.AST, ...]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child, parents
        yield from _calls(child, (*parents, child))


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_step(call: ast.Call) -> bool:
    """Return whether *call* makes a step with a command line."""
    names = {word.arg for word in call.keywords}
    return _called(call) == "run_again" or (_called(call) in _STEPS and bool(names & {"command", "rerun"}))


def _name(parents: tuple[ast.AST, ...]) -> str:
    return ".".join(one.name for one in parents if isinstance(one, ast.ClassDef | ast.FunctionDef))


def _match(call: ast.Call) -> str:
    """Return the first status, code, kind or phrase of a rule."""
    found = [ast.literal_eval(word.value) for word in call.keywords]
    words = [one.split()[0] if isinstance(one, str) else one[0] for one in found if not isinstance(one, bool)]
    marks = [word.arg for word in call.keywords if ast.literal_eval(word.value) is True and word.arg]
    return " ".join([*words, *marks]) or "everything else"


def _texts(
    node: ast.AST, constants: dict[str, ast.expr], *, apart_from: ast.AST | None = None
) -> Iterator[str]:
    """Yield the literal texts in *node* that do not depend on a condition."""
    if node is apart_from or isinstance(node, ast.IfExp | ast.BinOp | ast.BoolOp | ast.Lambda | ast.Compare):
        return
    if isinstance(node, ast.Name) and node.id in constants:
        yield from _texts(constants[node.id], {})
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from [node.value.strip()] if len(node.value.strip()) >= _MIN_TEXT else []
        return
    skipped = ("drop", "refusal", "status", "code", "kind")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword) and child.arg in skipped:
            continue
        is_argument = isinstance(node, ast.Call) and child is not node.func and isinstance(child, ast.Call)
        if is_argument and isinstance(child, ast.Call) and _called(child) not in _STEPS:
            continue  # its arguments are not texts of the message
        if isinstance(node, ast.FormattedValue):
            continue
        yield from _texts(child, constants, apart_from=apart_from)


if __name__ == "__main__":
    for one in find_sites().values():
        print(one.name)
        for text in one.texts:
            print("    ", text)
