"""Conditions on stored cases as a text: ``ventricles>120 and attempts>3``. Nothing of it is evaluated as code.

predicate  = conjunction { "or" conjunction }
conjunction = factor { "and" factor }
factor     = "not" factor | "(" predicate ")" | field operator value
field      = words, or a text in quotes
operator   = < <= > >= = !=
value      = number, number%, word, or a text in quotes
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synthaug.errors import ConfigurationError, did_you_mean
from synthaug.labels import LabelScheme
from synthaug.store.case import CaseEntry

LONGEST = 2000
DEEPEST = 50
"""Characters, and parentheses within each other."""

_TOKEN = re.compile(
    r"\s*(?:(?P<sign><=|>=|!=|==|[<>=()])|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<word>[^\s<>=!()\"']+))"
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_LOGIC = ("and", "or", "not")

Field = Callable[[CaseEntry, Mapping[str, Any]], Any]
Test = Callable[[CaseEntry, Mapping[str, Any]], bool]

ERROR = "realised error"
TEXT_FIELDS = ("name", "generator")
OTHER_FIELDS = ("attempts", "seed", "seconds", ERROR)


@dataclass(frozen=True)
class Predicate:
    """A condition on cases.

    Attributes:
        text: as it was written.
        needs_record: whether it asks for what only the provenance holds (``generator``, ``seconds``).
        holds: tells of an entry, and of the provenance where that is needed.
    """

    text: str
    needs_record: bool
    holds: Test

    @classmethod
    def parse(cls, text: str, scheme: LabelScheme) -> Predicate:
        """Read a condition.

        Fields are structures and groups of the scheme (realised volumes in mL; ``requested NAME`` for what was asked
        for), ``realised error`` (the largest difference between realised and requested volume, relative to the
        requested one), ``attempts``, ``seed``, ``seconds``, ``name`` and ``generator`` (a name, or the first digits of
        a sha256).

        Raises:
            ConfigurationError: it cannot be read; says where, and what is allowed.
        """
        parser = _Parser(text, scheme)
        return cls(text, parser.needs_record, parser.test)


class _Parser:
    def __init__(self, text: str, scheme: LabelScheme) -> None:
        self.text, self.scheme = text, scheme
        self.needs_record = False
        if len(text) > LONGEST:
            raise ConfigurationError(f"--where: has {len(text)} characters, at most {LONGEST} are read; shorten it")
        self._tokens = self._split()
        self._at = 0
        self._depth = 0
        self.test = self._read_all()

    def _split(self) -> list[tuple[str, str]]:
        """(kind, text): ``sign``, ``word``, or ``quoted``."""
        tokens, at, text = [], 0, self.text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._error(f"{text[at : at + 20].strip()!r} cannot be read")
            kind = found.lastgroup or ""
            tokens.append((kind if kind in ("sign", "word") else "quoted", found[kind]))
            at = found.end()
        return tokens

    def _read_all(self) -> Test:
        if not self._tokens:
            raise self._error("it is empty")
        test = self._disjunction()
        if self._at < len(self._tokens):
            raise self._error(f"{self._tokens[self._at][1]!r} is left over; join conditions by 'and' or 'or'")
        return test

    def _disjunction(self) -> Test:
        tests = [self._conjunction()]
        while self._take("word", "or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda entry, record: any(test(entry, record) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._factor()]
        while self._take("word", "and"):
            tests.append(self._factor())
        return tests[0] if len(tests) == 1 else lambda entry, record: all(test(entry, record) for test in tests)

    def _factor(self) -> Test:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"more than {DEEPEST} parentheses or 'not' within each other; write it flatter")
        try:
            if self._take("word", "not"):
                inner = self._factor()
                return lambda entry, record: not inner(entry, record)
            if self._take("sign", "("):
                inner = self._disjunction()
                if not self._take("sign", ")"):
                    raise self._error("a ')' is missing")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Test:
        words = []
        while self._at < len(self._tokens) and self._tokens[self._at][0] != "sign":
            kind, word = self._tokens[self._at]
            if kind == "word" and word in _LOGIC:
                break
            words.append(word)
            self._at += 1
        sign = self._tokens[self._at][1] if self._at < len(self._tokens) else ""
        if not words or sign not in _COMPARISONS:
            raise self._error(f"after {' '.join(words) or 'the last condition'!r}, one of < <= > >= = != is expected")
        self._at += 1
        if self._at >= len(self._tokens) or self._tokens[self._at][0] == "sign":
            raise self._error(f"after {' '.join(words)} {sign} a value is expected")
        value = self._tokens[self._at][1]
        self._at += 1
        return self._test(" ".join(words), sign, value)

    def _test(self, name: str, sign: str, value: str) -> Test:
        compare = _COMPARISONS[sign]
        if name in TEXT_FIELDS:
            if sign not in ("=", "==", "!="):
                raise self._error(f"{name} is a text, of which only = and != can be asked, not {sign}")
            wanted = sign != "!="
            if name == "name":
                return lambda entry, record: (entry.name == value) == wanted
            self.needs_record = True
            return lambda entry, record: _is_made_by(record, value) == wanted
        field, share = self._field(name), name == ERROR
        number = self._number(name, value, share=share)

        def test(entry: CaseEntry, record: Mapping[str, Any]) -> bool:
            found = field(entry, record)
            return found is not None and compare(found, number)

        return test

    def _field(self, name: str) -> Field:
        if name == ERROR:
            return lambda entry, record: _largest_error(entry)
        if name == "attempts":
            return lambda entry, record: entry.attempts
        if name == "seed":
            return lambda entry, record: entry.seed
        if name == "seconds":
            self.needs_record = True
            return lambda entry, record: _seconds(record)
        which, _, structure = name.partition(" ")
        known = (*self.scheme.names, *self.scheme.groups)
        if name in known:
            return lambda entry, record: entry.realised_ml.get(name)
        if which == "requested" and structure in known:
            return lambda entry, record: entry.requested_ml.get(structure)
        if which == "realised" and structure in known:
            return lambda entry, record: entry.realised_ml.get(structure)
        fields = (*OTHER_FIELDS, *TEXT_FIELDS)
        raise self._error(
            f"unknown {name!r}{did_you_mean(name, (*known, *fields))}; known are {', '.join(fields)}, and the "
            f"structures and groups {', '.join(known[:4])}{', ...' if len(known) > 4 else ''} (with 'requested' in "
            "front: what was asked for)"
        )

    def _number(self, name: str, value: str, *, share: bool) -> float:
        text = value.removesuffix("%") if share else value
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            example = "5%" if share else "120"
            raise self._error(f"{name} is compared with {value!r}; a number is expected, {example} for example")
        return number / 100 if text != value else number

    def _take(self, kind: str, text: str) -> bool:
        taken = self._at < len(self._tokens) and self._tokens[self._at] == (kind, text)
        self._at += taken
        return taken

    def _error(self, what: str) -> ConfigurationError:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:60]}..."
        return ConfigurationError(f"--where {shown!r}: {what}")


def _largest_error(entry: CaseEntry) -> float | None:
    """Of all volumes that were asked for; None where none was."""
    errors = [
        abs(entry.realised_ml[name] - asked_ml) / asked_ml if asked_ml > 0 else float(entry.realised_ml[name] > 0)
        for name, asked_ml in entry.requested_ml.items()
        if name in entry.realised_ml
    ]
    return max(errors, default=None)


def _seconds(record: Mapping[str, Any]) -> float | None:
    seconds = record["pair"].get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


def _is_made_by(record: Mapping[str, Any], wanted: str) -> bool:
    pair = record["pair"]
    digits = len(wanted) >= 6 and re.fullmatch("[0-9a-f]+", wanted) is not None
    return pair.get("generator") == wanted or (digits and str(pair.get("generator_sha256", "")).startswith(wanted))
