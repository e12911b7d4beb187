"""Every page of the built book, in a browser: whole, alone, light, its formulas set."""

import pytest

MEGABYTE = 1_000_000


def test_page_holds_what_it_should(visit, html, page_name):
    page = visit(page_name).page
    assert page.locator("article h1").count() == 1
    assert len(page.locator("article").inner_text()) > 200
    assert page_name.startswith("chapters/appendix/") or page.locator("article div.cell").count() > 0
    text = page.locator("body").inner_text()
    for stray in (
        "Traceback (most recent call last)",
        "What this page stands on",
        "```",
        ":::",
        "{ref}",
        "{eq}",
    ):
        assert stray not in text
    for role in page.locator("article span.xref.myst").all():
        pytest.fail(f"unresolved reference: {role.inner_text()}")


def test_page_asks_nobody_and_complains_of_nothing(visit, any_page):
    # A view of its own: the accessibility checker asks for style sheets that are no files.
    seen = visit(any_page, width=1300)
    assert seen.refused == []
    assert seen.complaints == []


def test_page_needs_no_widget_scripts(html, page_name):
    source = (html / f"{page_name}.html").read_text(encoding="utf-8")
    assert "require.js" not in source
    assert "html-manager" not in source
    assert "application/vnd.jupyter.widget" not in source


def test_page_is_light(visit, any_page):
    assert 0 < visit(any_page).weight <= 5 * MEGABYTE


def test_formulas_are_set(visit, page_name):
    page = visit(page_name).page
    sources = page.locator("article .math").count()
    assert page.locator("article .math mjx-container").count() >= sources
    assert page.locator("mjx-merror, [data-mjx-error]").all_inner_texts() == []
    raw = page.evaluate(
        r"""() => {
          const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
          const found = [];
          while (walker.nextNode()) {
            const node = walker.currentNode;
            if (node.parentElement.closest("pre, code, script, style")) continue;
            if (/\\[([]|\$\S|\\begin\{/.test(node.data)) found.push(node.data.trim().slice(0, 80));
          }
          return found;
        }"""
    )
    assert raw == []


def test_formulas_are_set_in_their_own_fonts(visit, page_name):
    page = visit(page_name).page
    if page.locator("article .math").count():
        loaded = page.evaluate(
            "() => [...document.fonts].filter((f) => f.family.startsWith('MJX')).map((f) => f.status)"
        )
        assert "loaded" in loaded
        assert "error" not in loaded
