"""The figure of the gates in a real browser: the script's numbers, what moves it, what it says."""

import itertools
import json
import os
import re
from importlib.resources import files

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from vglib.show import gates
from vglib.show.held import descriptions, held, sentence

GRID = [position / 10 for position in range(11)]


def made(static, **at):
    """HTML of the figure, for a page that has the script, or for a notebook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGLIB_STATIC", "1") if static else patch.delenv("VGLIB_STATIC", raising=False)
        return gates(**at).html


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page as the book makes it, with two figures."""
    read = {
        name: files("vglib.show").joinpath(f"static/{name}").read_text("utf-8")
        for name in ("explore.css", "gates.css", "explore.js", "gates.js")
    }
    page = tmp_path_factory.mktemp("gates") / "page.html"
    page.write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Page</title>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>body {{ font: 16px sans-serif }}</style><style>{read['explore.css']}</style>"
        f"<style>{read['gates.css']}</style>"
        f"<script>{read['explore.js']}</script><script>{read['gates.js']}</script></head>"
        f"<body><main>{made(True, title='Gates')}{made(True, i=0, f=1, o=0)}</main></body></html>",
        encoding="utf-8",
    )
    return page.as_uri()


@pytest.fixture
def opened(browser):
    """Function that opens a page, and checks afterwards that nothing was asked of anyone or complained of."""
    contexts, problems, asked = [], [], []

    def visit(address, **options):
        context = browser.new_context(viewport={"width": 390, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []
    assert {url for url in asked if not url.startswith("file:")} == set()


@pytest.fixture
def page(opened, address):
    return opened(address)


def lines(page, which=0):
    """Return all lines of a figure as they stand in the page."""
    paths = page.locator(".vg-gates").nth(which).locator("path[data-line]")
    return paths.evaluate_all(
        "(all) => Object.fromEntries(all.map((p) => [p.dataset.line, p.getAttribute('d')]))"
    )


def drawn(**at):
    """Return all lines as Python draws them."""
    return dict(re.findall(r'data-line="([^"]*)" [^>]* d="([^"]*)"', made(True, **at)))


def shows(page, i, f, o):
    """Assert that the first figure draws, says and speaks these gates, and return it."""
    at = {"i": i, "f": f, "o": o}
    figure, found = page.locator(".vg-gates").first, held(**at)
    assert json.loads(figure.get_attribute("data-values")) == at
    assert lines(page) == drawn(**at)
    assert figure.locator(".vg-says").inner_text() == sentence(at, found)
    pictures = figure.locator("svg[role=img]").all()
    assert [one.get_attribute("aria-label") for one in pictures] == list(descriptions(found))
    for name, value in at.items():
        slider = figure.locator(f"input[name={name}]")
        assert slider.get_attribute("aria-valuetext") == f"{value:.2f}"
        assert figure.locator(f"output[for={slider.get_attribute('id')}]").inner_text() == f"{value:.2f}"
    return figure


def test_the_script_computes_what_the_library_computes(page):
    asked = [dict(zip("ifo", at, strict=True)) for at in itertools.product(GRID, repeat=3)]
    answers = page.locator(".vg-gates").first.evaluate("(figure, all) => all.map(figure.held)", asked)
    for at, answer in zip(asked, answers, strict=True):
        found = held(**at)
        assert answer.pop("says") == sentence(at, found)
        assert answer.keys() == found.keys()
        for name, values in found.items():
            # Where a sum of ones ends near 0 it has the rounding of its terms.
            crossing = 1e-13 * (min(values) < 0)
            np.testing.assert_allclose(
                answer[name], values, rtol=1e-12, atol=crossing, err_msg=f"{at} {name}"
            )


def test_the_first_drawing_is_the_same_without_a_script(opened, address, page):
    quiet = opened(address, java_script_enabled=False)
    assert lines(quiet) == lines(page)
    assert lines(quiet, 1) == lines(page, 1) == drawn(i=0, f=1, o=0)
    for text in (".vg-says", ".vg-head", ".vg-key"):
        assert quiet.locator(text).all_inner_texts() == page.locator(text).all_inner_texts()
    assert not quiet.locator(".vg-hands").first.is_visible()
    assert quiet.get_by_text("Drawn for the gates i = 0.50, f = 0.90, o = 0.50.").is_visible()
    assert page.locator(".vg-hands").first.is_visible()
    assert not page.locator(".vg-values").first.is_visible()


def test_keyboard_moves_it(page):
    figure = shows(page, 0.5, 0.9, 0.5)
    height = figure.bounding_box()["height"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "i"
    page.keyboard.press("Home")
    shows(page, 0, 0.9, 0.5)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    shows(page, 0, 0.91, 0.5)
    page.keyboard.press("End")
    shows(page, 0, 1, 0.5)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    shows(page, 0, 1, 0.49)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "remember f = 1, i = 0"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    shows(page, 1, 1, 0.49)
    assert figure.bounding_box()["height"] == height
    # The other figure has stood still.
    assert lines(page, 1) == drawn(i=0, f=1, o=0)


def test_corner_cases_are_buttons_that_say_where_one_is(page):
    figure = shows(page, 0.5, 0.9, 0.5)
    pressed = figure.locator("button[aria-pressed=true]")
    assert pressed.count() == 0
    for name, i, f in [("remember", 0, 1), ("add", 1, 1), ("erase", 0, 0), ("overwrite", 1, 0)]:
        figure.get_by_role("button", name=name).click()
        shows(page, i, f, 0.5)
        assert pressed.all_inner_texts() == [f"{name}\nf = {f}, i = {i}"]
    for name, o in [("output shut", 0), ("output open", 1)]:
        figure.get_by_role("button", name=name).click()
        shows(page, 1, 0, o)
        assert [text.split("\n")[0] for text in pressed.all_inner_texts()] == ["overwrite", name]
    figure.get_by_role("slider", name="forget gate f").press("ArrowRight")
    assert pressed.count() == 1


def test_mouse_and_finger_move_it(opened, address, page):
    slider = page.get_by_role("slider", name="output gate o").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box["height"] >= 44
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, middle, steps=5)
    page.mouse.up()
    shows(page, 0.5, 0.9, 1)
    phone = opened(address, has_touch=True, is_mobile=True)
    slider = phone.get_by_role("slider", name="forget gate f").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    phone.touchscreen.tap(box["x"] + 2, box["y"] + box["height"] / 2)
    shows(phone, 0.5, 0, 0.5)
    phone.get_by_role("button", name="remember").first.tap()
    shows(phone, 0, 1, 0.5)


def test_what_is_seen_is_read_out_once_the_slider_rests(page):
    says = page.locator(".vg-says").first
    assert says.get_attribute("aria-live") == "polite"
    assert says.get_attribute("aria-busy") is None
    page.get_by_role("slider", name="forget gate f").first.press("ArrowLeft")
    assert says.get_attribute("aria-busy") == "true"
    says.locator("xpath=self::*[not(@aria-busy)]").wait_for(timeout=5000)


def test_it_fits_a_phone_and_can_be_read_there(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator(".vg-gates").first.evaluate(
        """(figure) => [...figure.querySelectorAll("text, p, label, output, button, span")].map((one) => {
             const scale = one.getScreenCTM ? one.getScreenCTM().a : 1;
             return [parseFloat(getComputedStyle(one).fontSize) * scale, one.textContent];
           })"""
    )
    assert len(sizes) > 30
    assert [entry for entry in sizes if entry[0] < 11] == []
    # Nothing written in the drawing lies on something else.
    overlaps = page.locator(".vg-gates").first.evaluate(
        """(figure) => {
             const found = [];
             for (const picture of figure.querySelectorAll("svg[role=img]")) {
               const texts = [...picture.querySelectorAll("text")];
               const boxes = texts.map((one) => one.getBoundingClientRect());
               boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
                 const beside = a.right <= b.left || b.right <= a.left;
                 const apart = beside || a.bottom <= b.top || b.bottom <= a.top;
                 if (!apart) found.push([a, b]);
               }));
             }
             return found.length;
           }"""
    )
    assert overlaps == 0


@pytest.mark.parametrize("width", [390, 1000])
def test_nothing_stands_in_the_way_of_a_screen_reader(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    # A heading is the page's business.
    ours = [found for found in results.response["violations"] if found["id"] != "page-has-heading-one"]
    assert [f"{found['id']}: {found['nodes'][0]['html'][:200]}" for found in ours] == []


def test_a_step_is_fast(page):
    milliseconds = page.evaluate(
        """() => {
             const field = document.querySelector("input[name=f]");
             const times = [];
             for (let at = 0; at <= 50; at++) {
               const before = performance.now();
               field.value = at / 50;
               field.dispatchEvent(new Event("input"));
               field.closest(".vg-gates").getBoundingClientRect();
               times.push(performance.now() - before);
             }
             return times.sort((a, b) => a - b)[25];
           }"""
    )
    print(f"a step: {milliseconds:.1f} ms")
    assert milliseconds < 50


def test_on_paper_the_gates_stand_in_words(page):
    page.emulate_media(media="print")
    assert page.locator("svg[role=img]").first.is_visible()
    assert not page.locator(".vg-hands").first.is_visible()
    page.emulate_media(media="screen")
    page.get_by_role("slider", name="input gate i").first.press("Home")
    page.emulate_media(media="print")
    assert page.get_by_text("Drawn for the gates i = 0.00, f = 0.90, o = 0.50.").is_visible()


def test_in_a_notebook_the_output_brings_its_script(opened, tmp_path):
    output = made(False)
    file = tmp_path / "notebook.html"
    # A cell that was run twice leaves the script twice.
    file.write_text(
        f"<!doctype html><meta charset='utf-8'><main>{output}{made(False, f=1)}</main>", encoding="utf-8"
    )
    page = opened(file.as_uri())
    shows(page, 0.5, 0.9, 0.5)
    page.get_by_role("slider", name="forget gate f").first.press("ArrowRight")
    shows(page, 0.5, 0.91, 0.5)
    assert os.path.getsize(file) < 100_000
