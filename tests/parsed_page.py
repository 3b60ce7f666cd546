"""An HTML page as a browser's parser sees it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

from PIL import Image

VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class ParsedPage(HTMLParser):
    """Elements, attributes and text of a page; a tag that does not close what is open is an error.

    Attributes:
        elements: name and attributes of each element.
        text: all text outside of style sheets.
        styles: style sheets.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.styles = ""
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert self._open == [], f"left open: {self._open}"

    @classmethod
    def checked(cls, content: str) -> ParsedPage:
        """Parse a page, and check that it opens offline and that nothing in it can run."""
        page = cls(content)
        assert content.startswith("<!DOCTYPE html>")
        names = {name for name, _ in page.elements}
        assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "svg"}
        for name, attributes in page.elements:
            assert not [one for one in attributes if one.startswith("on")], (name, attributes)
            for key in ("src", "srcset", "href", "data", "action", "poster"):
                assert attributes.get(key, "#").startswith(("#", "data:image/png;base64,")), (name, key)
        assert "url(" not in page.styles
        assert "@import" not in page.styles
        identifiers = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        assert {link.removeprefix("#") for link in page.attribute("a", "href")} <= identifiers
        for table_row in content.split("<tr>")[1:]:
            assert table_row.count("<th") + table_row.count("<td") > 1
        return page

    def attribute(self, element: str, name: str) -> list[str]:
        """Values of an attribute, in the page's order."""
        return [attributes[name] for one, attributes in self.elements if one == element and name in attributes]

    def pictures(self) -> list[Image.Image]:
        """The pictures, decoded."""
        return [
            Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
            for source in self.attribute("img", "src")
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styles += data
        else:
            self.text += data
