"""The report: one self-contained HTML page about one run or several."""

from palaestra.agents.report.report import render_report, write_report
from palaestra.agents.report.transcripts import TranscriptLimits

__all__ = ["TranscriptLimits", "render_report", "write_report"]
