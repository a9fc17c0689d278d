"""Every long option of the command line is a keyword of the API, and a value of a wrong type is refused."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import obsup
import obsup.errors
from obsup.api.values import keyword_of, option_value
from obsup.api.wording import FUNCTIONS, in_python, reword
from obsup.cli.arguments.conflicts import OF_MANY
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.model import ObjectOptions
from obsup.options.table import OBJECT_OPTIONS, rows_of
from obsup.rate import constant_rate, parse_rate

# Options of a command that prints, of one that reads its source from a pipe, and of many files.
NOT_OF_A_FUNCTION = {
    *OF_MANY,
    "as_json",
    "dry_run",
    "etags_from",
    "from_command",
    "log_file",
    "long",
    "metrics",
    "progress_interval",
    "quiet",
    "verbose",
}
OTHER_NAMES = {"expect_size": "size"}
CALLS = [(command, getattr(obsup, name)) for command, name in FUNCTIONS.items()]


@pytest.mark.parametrize(("command", "function"), CALLS, ids=FUNCTIONS)
def test_every_long_option_is_a_keyword(command: str, function: Callable[..., Any]) -> None:
    """With ``_`` for ``-``; what belongs to a copied part is a keyword of copy_part."""
    keywords = set(inspect.signature(function).parameters)
    if command == "part":
        keywords |= set(inspect.signature(obsup.copy_part).parameters)
    if command == "complete":
        keywords |= {name for name, other in OTHER_NAMES.items() if other in keywords}
    options = {keyword_of(row) for _, row in rows_of(command)}
    assert options - keywords - NOT_OF_A_FUNCTION == set()


@pytest.mark.parametrize(("command", "function"), CALLS, ids=FUNCTIONS)
def test_the_signature_names_every_keyword(command: str, function: Callable[..., Any]) -> None:
    """No ``**more`` is left, and each keyword has a type."""
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD
        assert parameter.annotation is not inspect.Parameter.empty
    assert function.__doc__


def test_everything_public_can_be_imported() -> None:
    """Each name of ``__all__``; among them every exception that a function raises."""
    assert all(getattr(obsup, name) is not None for name in obsup.__all__)
    errors = {name for name, value in vars(obsup.errors).items() if isinstance(value, type)}
    raised = {name for name in errors if issubclass(getattr(obsup.errors, name), obsup.ObsupError)}
    assert raised - set(obsup.__all__) == set()
    assert set(obsup.__all__) <= set(dir(obsup))
    tree = ast.parse(Path(obsup.__file__ or "").read_text())
    (for_type_checkers,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in for_type_checkers.body if isinstance(node, ast.ImportFrom)]
    known = [(node.module, one.name, one.asname) for node in imports for one in node.names]
    assert known == [(obsup._MODULES[name], name, name) for _, name, _ in known]
    assert sorted(name for _, name, _ in known) == obsup.__all__


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [
        ("part_size", "9M", 9 * 1024 * 1024),
        ("part_size", 5, 5),
        ("retry_for", "15m", 900.0),
        ("retry_for", 3, 3.0),
        ("limit_rate", 1000, constant_rate(1000)),
        ("limit_rate", "08:00,2M 18:00,off", parse_rate("08:00,2M 18:00,off")),
        ("checkpoint", "a.json", Path("a.json")),
        ("checkpoint", Path("a.json"), Path("a.json")),
        ("jobs", "auto", "auto"),
        ("metadata", {"a": "b"}, {"a": "b"}),
        ("headers", {"x-obs-a": "b"}, (("x-obs-a", "b"),)),
        ("grants", [("read", "1"), ("read", "2")], (("read", "1"), ("read", "2"))),
    ],
)
def test_a_value_is_converted(name: str, value: Any, converted: Any) -> None:
    assert option_value(name, value) == converted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part_size", 3.5),
        ("part_size", "9 parts"),
        ("part_size", True),
        ("part_size", -1),
        ("parts", "5"),
        ("parts", date(2026, 1, 1)),
        ("jobs", "many"),
        ("jobs", 0),
        ("checkpoint", b"a"),
        ("checkpoint", ""),
        ("restart", "yes"),
        ("restart", 1),
        ("if_running", "never"),
        ("retry_for", "soon"),
        ("limit_rate", 0),
        ("limit_rate", float("inf")),
        ("metadata", {"a": 5}),
        ("metadata", "a=b"),
        ("headers", ["a: b"]),
        ("content_type", b"text/plain"),
        ("credentials", ("key", "secret")),
        ("options", {"acl": "private"}),
        ("progress", "bar"),
        ("observer", 5),
        ("sse_c_key", "a text"),
        ("stop", True),
    ],
    ids=repr,
)
def test_a_wrong_type_is_wrong_usage(name: str, value: Any) -> None:
    """Before anything else happens: neither the file nor the endpoint exists. The message names the keyword."""
    with pytest.raises(WrongUsage, match=name) as caught:
        obsup.upload_file("missing", "bucket/key", **{name: value})
    assert "--" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_empty_text_is_wrong_usage() -> None:
    """For every keyword that takes a text, unless an empty one means something (no proxy)."""
    texts = {
        keyword_of(row): row
        for _, row in rows_of("upload")
        if row.kind.name in ("text", "words") and not row.kind.may_be_empty
    }
    assert {"acl", "content_type", "storage_class", "cache_control", "endpoint", "expect_md5"} <= texts.keys()
    for name, row in texts.items():
        with pytest.raises(WrongUsage, match=f"^{name} is empty"):
            option_value(name, "")
        if row in OBJECT_OPTIONS:
            with pytest.raises(WrongUsage, match=f"^{name} is empty"):
                option_value("options", replace(ObjectOptions(), **{row.parameter: ""}))
    assert option_value("proxy", "") == ""


class Unknown:
    """A value of a type that no parameter has."""


REQUIRED = {"source": "missing", "target": "bucket/key", "prefix": "bucket", "copy_source": "bucket/old"}


@pytest.mark.parametrize("name", [*FUNCTIONS.values(), "copy_part"])
def test_every_parameter_of_a_wrong_type_is_wrong_usage(name: str) -> None:
    """Of every function, also if it is not an option: the endpoint is not even looked at."""
    function = getattr(obsup, name)
    parameters = inspect.signature(function).parameters
    needed = {one.name for one in parameters.values() if one.default is inspect.Parameter.empty}
    arguments: dict[str, Any] = {one: REQUIRED.get(one, 1) for one in needed}
    for parameter in parameters:
        for wrong in (Unknown(), [Unknown()], "a\0b" if parameter in ("source", "checkpoint") else Unknown()):
            with pytest.raises(WrongUsage) as caught:
                function(**arguments | {parameter: wrong})
            assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [
        ("options", obsup.ObjectOptions),
        ("connecting", obsup.ConnectOptions),
        ("credentials", obsup.Credentials),
    ],
)
def test_a_field_of_a_wrong_type_is_wrong_usage(keyword: str, kind: type[Any]) -> None:
    """Every field of the values that hold options; the message names it, and no value of the credentials."""
    needed = {"access_key": "key", "secret_key": "a secret"} if keyword == "credentials" else {}
    for name in kind.__struct_fields__:
        value = kind(**{**needed, name: [Unknown()]})
        with pytest.raises(WrongUsage, match=rf"^{keyword}\.{name}.* has a wrong type") as caught:
            obsup.upload_file("missing", "bucket/key", **{keyword: value})
        assert "secret'" not in str(caught.value)


def test_lists_and_paths_in_values_are_accepted() -> None:
    """As in keywords."""
    options = option_value("options", obsup.ObjectOptions(grants=[("read", "1")]))  # type: ignore[arg-type]
    assert options.grants == (("read", "1"),)
    path: Any = Path("config.toml")
    assert option_value("connecting", obsup.ConnectOptions(config_path=path)).config_path == "config.toml"


def test_a_key_of_a_wrong_type_is_not_printed() -> None:
    with pytest.raises(WrongUsage) as caught:
        obsup.upload_file("missing", "bucket/key", sse_c_key="my secret key")  # type: ignore[arg-type]
    assert "my secret key" not in str(caught.value)


def test_an_unknown_keyword_is_a_type_error() -> None:
    """As of every function of Python."""
    with pytest.raises(TypeError, match="part_sise"):
        obsup.upload_file("missing", "bucket/key", part_sise=5)  # type: ignore[call-arg]


def test_messages_name_keywords_and_functions() -> None:
    assert in_python("use --no-verify-tls or --part-size 5, or obsup init") == (
        "use no_verify_tls or part_size 5, or initiate_upload"
    )
    assert (
        in_python("SOURCE is missing; a-b--c and x --- y stay")
        == "source is missing; a-b--c and x --- y stay"
    )
    assert in_python("leave out the token with --no-token") == "leave out the token with token=False"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (run_again("use auto", add=("--jobs", "auto")), "use auto: jobs='auto', then call it again"),
        (run_again("leave it out", drop=("--acl",)), "leave it out: without acl, then call it again"),
        (
            NextStep("abort it", command=("obsup", "abort", "b/k", "--upload-id", "1")),
            "abort it: abort_upload('b/k', upload_id='1')",
        ),
        (NextStep(command=("obsup", "init", "f", "b/k")), "initiate_upload('b/k', source='f')"),
        (
            NextStep(command=("obsup", "upload", "f", "b/k", "--restart")),
            "upload_file('f', 'b/k', restart=True)",
        ),
        (NextStep(command=("obsup", "doctor", "b")), "obsup doctor b"),
        (NextStep(command=("obsup", "verify", "-r", "tree", "b/k/")), "obsup verify -r tree b/k/"),
    ],
)
def test_the_next_step_is_a_call(step: NextStep, text: str) -> None:
    error = WrongUsage("what", "Why", step)
    reword(error)
    assert str(error.next_step) == text
