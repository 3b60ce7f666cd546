"""Building a cache: the requests, who makes which, and what came of it."""

from synthaug.precomputing.factory import load_named_generator
from synthaug.precomputing.precompute import precompute
from synthaug.precomputing.processes import Share, current_share
from synthaug.precomputing.progress import Progress, ProgressLine
from synthaug.precomputing.requests import Request, plan_requests
from synthaug.precomputing.summary import PrecomputeSummary

__all__ = [
    "PrecomputeSummary",
    "Progress",
    "ProgressLine",
    "Request",
    "Share",
    "current_share",
    "load_named_generator",
    "plan_requests",
    "precompute",
]
