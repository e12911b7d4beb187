"""Every page for everyone: on a phone, in the dark, without seeing the pictures, without a mouse."""

import pytest
from axe_playwright_python.sync_playwright import Axe

# Colour scheme and width of the two views that between them show what either can break.
DESK, PHONE = ("light", 1280), ("dark", 390)


def test_page_fits_a_phone(visit, any_page):
    page = visit(any_page, *PHONE).page
    too_wide = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
           [...document.querySelectorAll("main *")]
             .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
             .map((one) => one.outerHTML.slice(0, 120)).slice(0, 5).concat("page too wide")"""
    )
    assert too_wide == []


def test_pictures_are_described(visit, any_page):
    missing = visit(any_page).page.evaluate(
        """() => [...document.querySelectorAll("img, svg[role=img]")]
             .filter((one) => !one.closest("[aria-hidden=true]"))
             .filter((one) => !(one.getAttribute("alt") ?? one.getAttribute("aria-label") ??
               document.getElementById(one.getAttribute("aria-labelledby"))?.textContent ?? "").trim())
             .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert missing == []


@pytest.mark.parametrize("view", [DESK, PHONE], ids=["light", "dark"])
def test_page_is_accessible(visit, any_page, view):
    page = visit(any_page, *view).page
    # An answer or a proof behind a button counts as well.
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate("() => document.documentElement.dataset.theme") == view[0]
    # A colour that is still fading in has not its final contrast.
    page.evaluate("() => document.getAnimations().forEach((one) => one.finish())")
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    serious = [
        f"{found['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for found in results.response["violations"]
        if found["impact"] in {"serious", "critical"}
        for node in found["nodes"]
    ]
    assert serious == []


def test_figures_follow_the_dark_page(visit, page_name):
    bright = visit(page_name, *PHONE).page.evaluate(
        """() => {
          const light = (one) => {
            const color = getComputedStyle(one).backgroundColor.match(/[\\d.]+/g).map(Number);
            return color[3] !== 0 && color[0] + color[1] + color[2] > 384;
          };
          const found = [];
          for (const figure of document.querySelectorAll(".vg-stage, .vg-predict")) {
            for (let one = figure; one; one = one.parentElement) if (light(one)) found.push(one.className);
          }
          return found;
        }"""
    )
    assert bright == []
