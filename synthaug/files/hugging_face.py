"""What repositories of generators and of caches on the Hugging Face Hub have in common."""

from __future__ import annotations

import re

REPOSITORY = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
"""Form of ``OWNER/NAME``."""

SPARE_BYTES = 64 << 20
"""That stay free on a disk that is downloaded to."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is the full number of a commit, which stands for the same files for ever."""
    return _COMMIT.fullmatch(revision or "") is not None


def hub_errors() -> tuple[type[BaseException], ...]:
    """What talking to the Hub raises; the bases hold what its transport raises, whichever library that is."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, ValueError, *HfHubHTTPError.__bases__)


def reason_of(error: BaseException) -> str:
    """An error of the Hub in one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
