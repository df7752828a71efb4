"""What is questionable about a model's normalisation, each finding with a code, without any data."""

from bnexport.health.findings.catalogue import RULES, Rule
from bnexport.health.findings.diagnose import diagnose
from bnexport.health.findings.finding import SEVERITIES, Finding, at_least
from bnexport.health.findings.suppress import Ignored, parse_ignored, read_ignored, sift

__all__ = [
    "RULES",
    "SEVERITIES",
    "Finding",
    "Ignored",
    "Rule",
    "at_least",
    "diagnose",
    "parse_ignored",
    "read_ignored",
    "sift",
]
