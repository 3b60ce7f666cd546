"""A page opens offline, is well-formed, escapes all it is given, and is replaced at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synthaug.conditions import Condition
from synthaug.evaluation.control import ControlPoint, ControlReport
from synthaug.reports.control_picture import control_chart
from synthaug.reports.page import Gallery, Page, Picture, Section, Table
from synthaug.reports.pair_slices import PairSlices, provenance_facts
from synthaug.reports.palette import DARK, LIGHT
from tests.hostile_generator import HANDLER, SCRIPT, HostileGenerator
from tests.parsed_page import ParsedPage
from tests.stand_in_generator import StandInGenerator

PNG = b"\x89PNG\r\n\x1a\n"


def page(text: str) -> Page:
    """A page with a text in every place that takes one."""
    pictures = [Picture(PNG, text, text, {text: text}, dark_png=PNG), Picture(PNG, text, wide=True)]
    section = Section(
        text,
        [text],
        [Table([text, text], [[text, text]], text), Table([text, text], [[text, text]], text, folded=True)],
        [Gallery(text, pictures, text, {text: text})],
    )
    return Page(text, {text: text}, [section, section], [text], [text])


@pytest.mark.parametrize("text", [SCRIPT, HANDLER, "'onload='x", "</style><style>*{}</style>", "{{ 7 * 7 }}", "a & b"])
def test_every_text_is_shown_as_it_is_and_nothing_of_it_runs(text: str) -> None:
    plain, parsed = ParsedPage.checked(page("plain").to_html()), ParsedPage.checked(page(text).to_html())
    assert [name for name, _ in parsed.elements] == [name for name, _ in plain.elements]
    assert [list(attributes) for _, attributes in parsed.elements] == [list(found) for _, found in plain.elements]
    assert parsed.text.count(text) == plain.text.count("plain") > 20
    assert parsed.attribute("img", "alt") == [text] * 4


def test_pictures_and_parts_are_as_many_as_were_given() -> None:
    parsed = ParsedPage.checked(page("x").to_html())
    assert len(parsed.attribute("img", "src")) == 4
    assert len(parsed.attribute("source", "srcset")) == 2  # of those with a dark form
    assert parsed.attribute("a", "href") == ["#part-1", "#part-2"]


def test_the_page_follows_light_and_dark_and_narrow_screens() -> None:
    parsed = ParsedPage.checked(page("x").to_html())
    assert "width=device-width" in "".join(parsed.attribute("meta", "content"))
    assert "prefers-color-scheme: dark" in parsed.styles
    assert parsed.attribute("source", "media") == ["(prefers-color-scheme: dark)"] * 2


@pytest.mark.parametrize("text", ["one | two", "# heading", "two\nlines", "plain"])
def test_as_markdown_every_text_stays_in_its_line_and_its_cell(text: str) -> None:
    lines, plain = (page(one).to_markdown().splitlines() for one in (text, "plain"))
    assert len(lines) == len(plain)
    assert [line.replace(r"\|", "").count("|") for line in lines] == [line.count("|") for line in plain]
    assert [line[:3] for line in lines if line.startswith("## ")] == ["## "] * 3


def test_markdown_leaves_out_what_is_folded() -> None:
    tables = [Table(["a", "b"], [["seen", "1"]]), Table(["a", "b"], [["hidden", "1"]], "All of them", folded=True)]
    text = Page("Title", {"made by": "hand"}, [Section("Part", ["A note."], tables)]).to_markdown()
    assert "| a | b |\n|---|---:|\n| seen | 1 |" in text
    assert "hidden" not in text
    assert "All of them" not in text


def test_a_failed_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    page("old").write(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        page("new").write(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_file_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    page("brain_\udcff").write(tmp_path / "report.html")
    assert "brain_?" in (tmp_path / "report.html").read_text()


def test_slices_say_where_their_pair_comes_from() -> None:
    generator = StandInGenerator()
    (pair,) = generator.generate([Condition({"ventricles": 40.0})], [11])
    realised = pair.volumes_ml()["ventricles"]
    assert provenance_facts(pair) == {
        "seed": "11",
        "ventricles": f"40.00 mL requested, {realised:.2f} mL realised",
        "generator": f"stand-in {generator.fingerprint[:16]}",
    }
    slices = PairSlices.of("pair 3", pair)
    picture = slices.picture(further={"error": "1 %"})
    assert picture.title == "pair 3"
    assert list(picture.provenance) == ["error", "seed", "ventricles", "generator"]
    assert slices.colours["lateral ventricle left"] == "#ffb000"
    assert "nothing" not in slices.colours


def test_a_label_map_without_an_image_is_one_row() -> None:
    (pair,) = StandInGenerator().generate([Condition({"ventricles": 40.0})], [11])
    both = PairSlices.of("both", pair).picture()
    from synthaug.volumes.grid import Grid

    alone = PairSlices.of_label("alone", pair.label, pair.scheme, Grid((32, 32, 32), (4.0, 4.0, 4.0))).picture()
    heights = [ParsedPage(Page("", {}, [Section("", galleries=[Gallery("", [one])])]).to_html()).pictures()[0].height
               for one in (both, alone)]  # fmt: skip
    assert heights[0] == 2 * heights[1]
    assert alone.alternative.endswith("label map")


def test_names_that_look_like_mathematics_or_markup_are_drawn() -> None:
    (pair,) = HostileGenerator().generate([Condition({SCRIPT: 40.0})], [0])
    points = tuple(ControlPoint(str(index), 10.0 + index, 11.0 + index) for index in range(3))
    charts = [control_chart(ControlReport("$\\frac$", points), theme) for theme in (LIGHT, DARK)]
    assert all(one.startswith(PNG) for one in charts)
    assert charts[0] != charts[1]
    assert HANDLER in PairSlices.of(SCRIPT, pair).colours
