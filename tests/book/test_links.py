"""Links inside the book lead somewhere: checked in the files, without a browser."""

from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urlsplit

import pytest


class Anchors(HTMLParser):
    """Collects what a page links to and what it can be linked to by."""

    def __init__(self, source):
        super().__init__()
        self.targets, self.names = [], set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.names |= {attributes.get("id"), attributes.get("name")} - {None}
        for key in ("href", "src"):
            if attributes.get(key):
                self.targets.append(attributes[key])


@pytest.fixture(scope="module")
def anchors(html):
    return {path: Anchors(path.read_text(encoding="utf-8")) for path in html.rglob("*.html")}


def test_links_within_the_book_lead_somewhere(anchors, html, any_page):
    page = html / f"{any_page}.html"
    broken = []
    for target in anchors[page].targets:
        address, name = urldefrag(target)
        if urlsplit(target).scheme or target.startswith("//"):
            continue
        path = (page.parent / unquote(urlsplit(address).path)).resolve() if address else page
        lost = name and path.suffix == ".html" and unquote(name) not in anchors.get(path, anchors[page]).names
        if lost or not path.is_file():
            broken.append(target)
    assert broken == []


def test_page_names_no_script_or_style_elsewhere(html, any_page):
    class Loads(HTMLParser):
        found = ()

        def handle_starttag(self, tag, attrs):
            attributes = dict(attrs)
            source = attributes.get("src") if tag != "link" else attributes.get("href")
            if tag in {"script", "img", "iframe", "link", "source", "video"} and "//" in (source or ""):
                self.found += (source,)

    loads = Loads()
    loads.feed((html / f"{any_page}.html").read_text(encoding="utf-8"))
    assert loads.found == ()


def test_first_page_is_reached_from_the_root(anchors, html):
    text = (html / "index.html").read_text(encoding="utf-8")
    assert "chapters/index.html" in text
