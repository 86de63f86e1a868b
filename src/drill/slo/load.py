"""Reading SLO files of any known form: each document says itself which one it is.

Owns the choice of the form and what concerns all files together: an SLO's id must be unique among them.
"""

from __future__ import annotations

from collections.abc import Iterable

from drill.core.problems import Problem
from drill.slo.model import Slo
from drill.slo.openslo import is_openslo, read_openslo
from drill.slo.positions import Document, load_documents
from drill.slo.pyrra import PyrraReader, is_pyrra
from drill.slo.reading import twice
from drill.slo.sloth import SlothReader, is_sloth

FORMS = "Sloth's 'version: prometheus/v1' or PrometheusServiceLevel, Pyrra's pyrra.dev/v1alpha1, openslo/v1"


def load_slos(files: Iterable[tuple[str, str]]) -> tuple[list[Slo], list[Problem]]:
    """Read ``(name, text)`` *files*; all SLOs without problems, and all problems of all files.

    Problems come in the order of the files; OpenSLO's references may cross them.
    """
    slos: list[Slo] = []
    problems: list[Problem] = []
    openslo: list[Document] = []
    order: dict[str, int] = {}
    for file, text in files:
        order[file] = len(order)
        documents, wrong = load_documents(text, file)
        problems += wrong
        if not documents and not wrong:
            problems.append(Problem(file, 0, 0, "the file is empty", f"known forms: {FORMS}"))
        for document in documents:
            if is_openslo(document.data):
                openslo.append(document)
            else:
                found, wrong = _read(document)
                slos += found
                problems += wrong
    found, wrong = read_openslo(openslo)
    slos = sorted([*slos, *found], key=lambda slo: order[slo.file])
    problems += [*wrong, *twice(slos)]
    return slos, sorted(problems, key=lambda problem: order.get(problem.file, 0))


def _read(document: Document) -> tuple[list[Slo], list[Problem]]:
    data = document.data
    if is_pyrra(data):
        pyrra = PyrraReader(document)
        return pyrra.read(), pyrra.problems
    sloth = SlothReader(document)
    if is_sloth(data) or (isinstance(data, dict) and "version" in data):
        return sloth.read(), sloth.problems
    return [], [document.problem((), "this is no SLO file", f"known forms: {FORMS}")]
