"""The typed keywords of the public API are the fields of the request."""

from __future__ import annotations

from typing import get_type_hints

from obsup import api
from obsup.engine.job.request import UploadRequest


def test_upload_file_accepts_every_field_of_the_request() -> None:
    """Each field is a keyword, except the arguments that upload_file has itself."""
    connect = {"endpoint", "credentials", "connecting"}
    keywords = set(api.RequestOptions.__annotations__) | set(api.StepOptions.__annotations__)
    assert keywords - connect | {"source", "target", "options"} == set(UploadRequest.__struct_fields__)


def test_the_keywords_have_the_types_of_the_fields() -> None:
    """A wrong type is an error of mypy at the call."""
    fields, keywords = get_type_hints(UploadRequest), get_type_hints(api.RequestOptions)
    assert {name: kind for name, kind in keywords.items() if name in fields} == {
        name: fields[name] for name in keywords if name in fields
    }
