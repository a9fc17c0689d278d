"""Documents that clients send."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from obsup.sandbox.refusals import Refused


def parse_xml(text: bytes, root: str) -> ET.Element:
    """Return the document if its root is named *root*. Raises Refused (400 MalformedXML). Namespaces are ignored."""
    try:
        element = ET.fromstring(text)
    except ET.ParseError as exc:
        raise malformed_xml() from exc
    if local_name(element) != root:
        raise malformed_xml()
    return element


def local_name(element: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def malformed_xml() -> Refused:
    """Return the error for a document that does not validate."""
    return Refused(400, "MalformedXML", "The XML you provided was not well-formed or did not validate.")
