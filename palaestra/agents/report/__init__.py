"""Self-contained HTML pages: about one run or several, and about the audit card of an environment."""

from palaestra.agents.report.audit_page import render_card_page, write_card_page
from palaestra.agents.report.report import render_report, write_report
from palaestra.agents.report.transcripts import TranscriptLimits

__all__ = ["TranscriptLimits", "render_card_page", "render_report", "write_card_page", "write_report"]
