"""What ``synthaug doctor`` looks at, one module per subject."""

from synthaug.diagnosis.check import Check, Status

__all__ = ["Check", "Status"]
