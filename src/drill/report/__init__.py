"""The report of a run: one model, rendered as JSON, Markdown, HTML and JUnit XML. It judges nothing itself."""

from drill.report.build import build
from drill.report.model import Report
from drill.report.write import write_all

__all__ = ["Report", "build", "write_all"]
