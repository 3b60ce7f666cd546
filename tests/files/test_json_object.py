"""JSON objects are read whole, or refused with what is wrong and what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.errors import ConfigurationError, LabelError
from synthaug.files.json_object import read_json_object
from synthaug.files.parsed_json import parse_json


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"b": [1]}, "c": {"b": 2}}')
    assert read_json_object(tmp_path / "a.json") == {"a": {"b": [1]}, "c": {"b": 2}}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "not JSON"),
        ("[]", "holds list, no JSON object"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' stands more than once"),
        ("[" * 100_000, "not JSON"),
        (None, "cannot be read"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, content: str | None, what: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"a.json: {what}") as refused:
        read_json_object(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(LabelError):
        read_json_object(path, error=LabelError)


@pytest.mark.parametrize("content", ['{"a": 1, "a": 1}', b'[{"b": {"a": 1, "c": 2, "a": 3}}]'])
def test_a_key_twice_is_refused_in_any_text(content: str | bytes) -> None:
    with pytest.raises(ValueError, match="key 'a' stands more than once in an object; give it once"):
        parse_json(content)
