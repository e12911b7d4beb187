"""Sliders on the built pages move their figures, and show what the chapter's own code draws."""

import json

import pytest

# The page adds a role and a description to what ``frame`` returns; all the rest must be the same.
_SAME = """([id, expected]) => {
  const bare = (svg) => {
    const copy = svg.cloneNode(true);
    copy.removeAttribute("role");
    copy.removeAttribute("aria-label");
    return copy.outerHTML;
  };
  const box = document.createElement("div");
  box.innerHTML = expected;
  const shown = document.querySelector(`#${id} .vg-stage svg`);
  const [want, got] = [bare(box.querySelector("svg")), bare(shown)];
  if (want === got) return "";
  let at = 0;
  while (want[at] === got[at]) at += 1;
  return `differs at ${at}: expected …${want.slice(at - 40, at + 60)}, shown …${got.slice(at - 40, at + 60)}`;
}"""


class Figure:
    """One figure with sliders on a page."""

    def __init__(self, page, element, call):
        self.page, self.element, self.call = page, element, call
        self.id = element.get_attribute("id")
        self.sliders = {one.get_attribute("name"): one for one in element.locator("input[type=range]").all()}

    def positions(self):
        return {name: int(slider.input_value()) for name, slider in self.sliders.items()}

    def values(self):
        return {name: self.call.controls[name][at] for name, at in self.positions().items()}

    def check(self):
        """Compare the shown frame, its stated values and its spoken values with the chapter's code."""
        from vglib.show import frame

        values = self.values()
        self.page.wait_for_function(
            "([id, want]) => document.getElementById(id).dataset.values === JSON.stringify(JSON.parse(want))",
            arg=[self.id, json.dumps(values)],
        )
        expected = frame(self.call.draw, values, self.call.size, self.call.panels, prefix=f"{self.id}-")
        assert self.page.evaluate(_SAME, [self.id, expected]) == ""
        for slider in self.sliders.values():
            assert slider.get_attribute("aria-valuetext")


@pytest.fixture
def figures(visit, calls, page_name):
    page = visit(page_name).page
    known = calls(page_name)
    elements = page.locator("figure.vg-explore:has(input[type=range])").all()
    assert len(elements) == len(known), "figures on the page and calls of explore in the chapter"
    return [Figure(page, element, call) for element, call in zip(elements, known, strict=True)]


def test_chapter_has_something_to_move(figures, visit, page_name):
    gates = visit(page_name).page.locator(".vg-gates").count()
    assert figures or gates or page_name == "chapters/index" or page_name.startswith("chapters/appendix/")


def test_first_frames_are_those_of_the_code(figures):
    for figure in figures:
        figure.page.evaluate("(id) => document.getElementById(id).scrollIntoView()", figure.id)
        start = figure.element.get_attribute("data-values")
        assert json.loads(start) == figure.values()
        figure.check()


def test_sliders_move_by_keyboard(figures):
    for figure in figures:
        for name, slider in figure.sliders.items():
            last = len(figure.call.controls[name]) - 1
            slider.focus()
            before = figure.positions()[name]
            key, after = ("ArrowLeft", before - 1) if before == last else ("ArrowRight", before + 1)
            slider.press(key)
            assert figure.positions()[name] == after
            figure.check()
            for key, end in (("End", last), ("Home", 0)):
                slider.press(key)
                assert figure.positions()[name] == end
                figure.check()


def test_sliders_move_by_mouse(figures):
    for figure in figures:
        for name, slider in figure.sliders.items():
            last = len(figure.call.controls[name]) - 1
            slider.press("Home")
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            middle = box["y"] + box["height"] / 2
            mouse = figure.page.mouse
            mouse.move(box["x"] + 8, middle)
            mouse.down()
            mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
            mouse.move(box["x"] + box["width"] - 1, middle, steps=4)
            mouse.up()
            assert figure.positions()[name] == last
            figure.check()


def test_gates_show_what_the_library_computes(visit, page_name):
    """What else moves them is tested on a page of their own; here, that their script and style are there."""
    from vglib.show.held import held, sentence

    page = visit(page_name).page
    for figure in page.locator(".vg-gates").all():
        says = figure.locator(".vg-says")

        def expected(figure=figure):
            at = json.loads(figure.get_attribute("data-values"))
            return sentence(at, held(**at))

        assert says.inner_text() == expected()
        for name in "ifo":
            slider = figure.locator(f"input[name={name}]")
            assert slider.bounding_box()["height"] >= 44
            for key, value in (("End", 1), ("Home", 0), ("ArrowRight", 0.01)):
                slider.press(key)
                assert json.loads(figure.get_attribute("data-values"))[name] == value
                assert says.inner_text() == expected()
        figure.get_by_role("button", name="add").click()
        assert figure.locator("button[aria-pressed=true]").all_inner_texts() == ["add\nf = 1, i = 1"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
