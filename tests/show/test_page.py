"""The page in a real browser: keyboard, mouse, what a screen reader is told, and how long a step takes."""

import json
import os
from importlib.resources import files

import pytest

from vglib.show import explore, frame, picture, predict, slider

WEIGHTS = [round(0.5 + 0.05 * step, 2) for step in range(21)]


def draw(axes, w, kind):
    axes[0].plot([w**t for t in range(60)], "o-" if kind == "dots" else "-")
    axes[0].set_ylim(0, 3)
    axes[1].semilogy([w**t for t in range(60)])
    axes[1].set_ylim(1e-20, 1e10)
    axes[1].set_title(f"w = {w:g}")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    before = os.environ.get("VGLIB_STATIC")
    os.environ["VGLIB_STATIC"] = "1"
    try:
        shown = [
            explore(
                draw,
                panels=(1, 2),
                w=slider(WEIGHTS, start=0.9, label="weight w"),
                kind=["line", "dots"],
                alt=lambda w, kind: f"Powers of {w:g} as {kind}",
            ),
            picture(lambda ax: ax.plot([1, 2]), alt="A line"),
            predict("Up or down?", {"up": "It falls.", "down": "It does."}, right="down"),
        ]
    finally:
        del os.environ["VGLIB_STATIC"]
        if before is not None:
            os.environ["VGLIB_STATIC"] = before
    read = {
        name: files("vglib.show").joinpath(f"static/explore.{name}").read_text("utf-8")
        for name in ("js", "css")
    }
    page = tmp_path_factory.mktemp("page") / "page.html"
    page.write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Page</title>"
        f"<style>{read['css']}</style>"
        f"<meta name='viewport' content='width=device-width'><script>{read['js']}</script></head>"
        f"<body><main>{''.join(part.html for part in shown)}</main></body></html>",
        encoding="utf-8",
    )
    return page.as_uri()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    opened = context.new_page()
    problems, asked = [], []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    yield opened
    context.close()
    assert problems == []
    assert [url for url in asked if not url.startswith("data:")] == [address]


def shows(page, w, kind):
    figure = page.locator("figure.vg-explore").first
    assert json.loads(figure.get_attribute("data-values")) == {"w": w, "kind": kind}
    wanted = frame(draw, {"w": w, "kind": kind}, panels=(1, 2), prefix=figure.get_attribute("id") + "-")
    same = figure.locator(".vg-stage").evaluate(
        """(stage, wanted) => {
            const made = document.createElement("div");
            made.innerHTML = wanted;
            const shown = stage.firstChild.cloneNode(true);
            shown.removeAttribute("role");
            shown.removeAttribute("aria-label");
            made.normalize();
            return shown.isEqualNode(made.firstChild);
        }""",
        wanted,
    )
    assert same, f"the figure does not show the frame for w = {w}, {kind}"
    assert figure.locator("svg").get_attribute("aria-label") == f"Powers of {w:g} as {kind}"
    field = page.get_by_role("slider", name="weight w")
    assert field.get_attribute("aria-valuetext") == f"{w:g}"
    assert figure.locator("output").first.inner_text() == f"{w:g}"
    return figure


def test_keyboard_and_mouse_reach_every_frame(page):
    figure = shows(page, 0.9, "line")
    height = figure.bounding_box()["height"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "w"
    page.keyboard.press("ArrowRight")
    shows(page, 0.95, "line")
    page.keyboard.press("End")
    shows(page, 1.5, "line")
    page.keyboard.press("Home")
    shows(page, 0.5, "line")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    shows(page, 0.5, "dots")
    box = page.get_by_role("slider", name="weight w").bounding_box()
    assert box["height"] >= 44
    page.mouse.move(box["x"] + 13, box["y"] + 22)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 22, steps=5)
    page.mouse.up()
    shows(page, 1.0, "dots")
    assert figure.bounding_box()["height"] == height
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_step_is_fast(page):
    milliseconds = page.evaluate(
        """() => {
            const field = document.querySelector("input[name=w]");
            const times = [];
            for (let at = 0; at <= 20; at++) {
                const before = performance.now();
                field.value = at;
                field.dispatchEvent(new Event("input"));
                field.closest("figure").getBoundingClientRect();
                times.push(performance.now() - before);
            }
            return times.sort((a, b) => a - b)[10];
        }"""
    )
    print(f"a step: {milliseconds:.1f} ms")
    assert milliseconds < 100


def test_the_first_frame_stands_without_javascript_and_in_print(browser, address, page):
    context = browser.new_context(java_script_enabled=False)
    quiet = context.new_page()
    quiet.goto(address)
    assert quiet.locator("figure svg").first.bounding_box()["height"] > 200
    assert not quiet.locator(".vg-controls").is_visible()
    context.close()
    page.emulate_media(media="print")
    assert page.locator("figure svg").first.is_visible()
    assert not page.locator(".vg-controls").is_visible()


def test_feedback_appears_once_chosen(page):
    said = page.locator(".vg-feedback")
    assert not said.nth(0).is_visible()
    page.get_by_label("up").check()
    assert said.nth(0).inner_text() == "Not so. It falls."
    page.keyboard.press("ArrowDown")
    assert not said.nth(0).is_visible()
    assert said.nth(1).inner_text() == "Right. It does."
    assert page.get_by_role("group", name="Up or down?").is_visible()
