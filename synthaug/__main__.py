"""``python -m synthaug``, and the command ``synthaug``."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it; Ctrl-C while it loads is no traceback either."""
    try:
        from synthaug.cli.app import main as run
    except KeyboardInterrupt:
        print("synthaug: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
