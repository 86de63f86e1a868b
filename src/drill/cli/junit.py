"""Merging the ``junit.xml`` of several runs into one file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

COUNTS = ("tests", "failures", "errors", "skipped")


def merge(files: Iterable[Path], broken: Iterable[tuple[str, str]] = ()) -> ET.Element:
    """Return one ``<testsuites>`` with the suites of *files* and, for each of *broken* (name, why), an error."""
    root = ET.Element("testsuites", name="drill")
    for file in files:
        found = ET.parse(file).getroot()  # nosec B314 - drill's own file
        root.extend([found] if found.tag == "testsuite" else found.findall("testsuite"))
    for name, why in broken:
        suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="1", time="0")
        case = ET.SubElement(suite, "testcase", classname="drill", name=name, time="0")
        ET.SubElement(case, "error", message=why)
    for count in COUNTS:
        root.set(count, str(sum(int(suite.get(count) or 0) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time') or 0) for suite in root):.3f}")
    return root


def write(root: ET.Element, file: Path) -> None:
    """Write *root* to *file*, its directory made if absent. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    ET.indent(root)
    ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
