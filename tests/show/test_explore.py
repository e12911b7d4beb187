import html
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from vglib.show import explore, frame, picture, slider
from vglib.show.svg import join, prefixed


def draw(ax, w, kind="a"):
    ax.plot([0, 1], [0, w])
    ax.set_ylim(0, 2)
    ax.set_title(f"{kind} {w}")


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setenv("VGLIB_STATIC", "1")


@pytest.fixture
def live(monkeypatch):
    monkeypatch.delenv("VGLIB_STATIC", raising=False)


def data_of(shown):
    return json.loads(re.search(r'<script[^>]*class="vg-data">(.*?)</script>', shown.html, re.DOTALL)[1])


@pytest.mark.usefixtures("static")
def test_every_frame_in_the_page_is_what_draw_gives():
    shown = explore(draw, w=slider([0.5, 1.0, 1.5], start=1.0), kind=["a", "b"], alt="A line")
    data = data_of(shown)
    key = re.search(r'<figure class="vg-explore" id="([^"]*)"', shown.html)[1]
    wanted = [frame(draw, {"w": w, "kind": kind}) for w in (0.5, 1.0, 1.5) for kind in "ab"]
    assert [join(data["lines"], runs) for runs in data["frames"]] == [
        prefixed(svg, f"{key}-") for svg in wanted
    ]
    assert [control["name"] for control in data["controls"]] == ["w", "kind"]
    values = html.unescape(re.search(r'data-values="([^"]*)"', shown.html)[1])
    assert json.loads(values) == {"w": 1.0, "kind": "a"}
    start = prefixed(wanted[2], f"{key}-").replace("<svg ", '<svg role="img" aria-label="A line" ', 1)
    assert start in shown.html


@pytest.mark.usefixtures("static")
def test_the_same_figure_is_the_same_bytes_and_says_so_shortly():
    def make():
        return explore(
            draw, w=np.linspace(0, 1, 3), alt=lambda w: f"A line of slope {w}", title="Slopes & more"
        )

    one, two = make(), make()
    assert one.html == two.html
    assert one._repr_html_() == one.html
    assert repr(one) == "explore(draw): A line of slope 0.0"
    assert "Slopes &amp; more" in one.html
    assert data_of(one)["alts"] == [f"A line of slope {w}" for w in (0.0, 0.5, 1.0)]


@pytest.mark.usefixtures("static")
def test_a_page_asks_nothing_of_the_network():
    shown = explore(draw, w=[0.5, 1], alt="A line")
    assert set(re.findall(r"https?://[^\s'\"<\\]+", shown.html)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.usefixtures("static")
def test_text_cannot_end_the_data_or_an_attribute():
    nasty = "</script><!--\"'&<b>"
    shown = explore(draw, w=slider([1, 2], label=nasty), kind=[nasty, "b"], alt=nasty, title=nasty)
    assert data_of(shown)["controls"][1]["values"] == [nasty, "b"]
    assert data_of(shown)["alts"] == [nasty]
    assert shown.html.count("</script>") == 1
    assert "<b>" not in shown.html.split("<script")[0]


@pytest.mark.usefixtures("static")
def test_controls_are_named_and_spoken():
    shown = explore(draw, w=slider([0.5, 1], label="weight w", format="{:.1f} units"), alt="A line")
    named = re.search(r'<label for="([^"]*)">weight w</label>', shown.html)[1]
    field = re.search(rf'<input type="range" id="{named}"[^>]*>', shown.html)[0]
    assert 'aria-valuetext="0.5 units"' in field
    assert re.search(rf'<output for="{named}"[^>]*>0.5 units</output>', shown.html)
    assert 'role="group" aria-label="Figure with slider: weight w"' in shown.html


def test_a_picture_is_the_same_svg_in_both_modes(monkeypatch):
    def still(ax):
        ax.plot([1, 2])

    monkeypatch.setenv("VGLIB_STATIC", "1")
    built = picture(still, alt="A rising line")
    monkeypatch.delenv("VGLIB_STATIC")
    shown = picture(still, alt="A rising line")
    assert shown.html.endswith(built.html)
    assert shown.html.startswith("<style>")
    assert "<script" not in built.html
    assert repr(built) == "picture(still): A rising line"
    key = re.search(r'id="([^"]*)"', built.html)[1]
    assert frame(still, prefix=f"{key}-").split("\n", 1)[1] in built.html


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"draw": None}, TypeError, "draw must be a function"),
        ({"alt": ""}, ValueError, "alt is empty"),
        ({"alt": 3}, TypeError, "alt must be text or a function"),
        ({"alt": lambda w: " "}, ValueError, r"alt must return .* \{'w': 1\}"),
        ({"title": ""}, ValueError, "title must be text"),
        ({"slope": [1]}, TypeError, r"\['slope', 'w'\].*slope"),
        ({"ax": [1]}, TypeError, "multiple values for argument 'ax'"),
        ({"size": slider([1])}, TypeError, "size is a setting"),
        ({"w": []}, ValueError, "control w: values is empty"),
        ({"w": 3}, TypeError, "control w: values must be a sequence"),
        ({"w": "abc"}, TypeError, "control w: values must be a sequence"),
        ({"w": [1, None]}, TypeError, "control w: values must hold numbers or strings, not NoneType"),
        ({"w": [1, float("inf")]}, ValueError, "control w: values must be finite, not inf"),
        ({"w": range(401)}, ValueError, "401 frames, more than 400; control w has 401 values"),
        ({"w": range(30), "kind": list("abcdefghijklmn")}, ValueError, "420 frames.*control w has 30"),
    ],
)
@pytest.mark.parametrize("mode", ["static", "live"])
def test_errors_name_what_came(arguments, error, message, mode, request):
    request.getfixturevalue(mode)
    with pytest.raises(error, match=message):
        explore(**{"draw": draw, "alt": "A line", "w": [1, 2], **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": [1, 1.0]}, ValueError, "2 positions of which only 1 differ"),
        (
            {"values": [0.1, 0.2], "start": 0.3},
            ValueError,
            r"start must be one of values, not 0.3: \(0.1, 0.2\)",
        ),
        ({"values": [0.1, 0.2], "start": "0.1"}, ValueError, "start must be one of values, not '0.1'"),
        ({"values": [0.1, 0.2], "start": float("nan")}, ValueError, "start must be finite"),
        (
            {"values": [0.11, 0.12], "format": "{:.1f}"},
            ValueError,
            "writes different values the same way: 0.1, 0.1",
        ),
        ({"values": [1], "format": "{:z}"}, ValueError, "format '{:z}' does not write"),
        ({"values": [1], "label": " "}, ValueError, "label must be text"),
    ],
)
def test_slider_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        slider(**arguments)


def test_slider_takes_arrays_and_finds_a_start_in_spite_of_rounding():
    made = slider(np.linspace(0.5, 1.5, 11), start=0.8)
    assert made.start == 3
    assert made.texts[3] == "0.8"
    assert all(type(value) is float for value in made.values)
    assert slider(["tanh", "relu"], start="relu").start == 1
    assert slider([1e-3, 1e-2], format=lambda value: f"10^{np.log10(value):.0f}").texts == ("10^-3", "10^-2")


@pytest.mark.usefixtures("static")
def test_too_large_a_figure_is_refused_by_the_name_of_its_longest_control():
    def heavy(ax, w, kind):
        ax.plot(np.random.default_rng([w, ord(kind)]).normal(size=4000), lw=0.5)

    with pytest.raises(ValueError, match=r"takes \d\.\d MB, more than 3 MB; control w has 45 values"):
        explore(heavy, w=range(45), kind=["a", "b"], alt="Noise")


@pytest.mark.parametrize("mode", ["static", "live"])
def test_a_broken_figure_breaks_the_cell(mode, request):
    request.getfixturevalue(mode)

    def broken(ax, w):
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        explore(broken, w=[1, 2], alt="Nothing")


@pytest.mark.usefixtures("static")
def test_an_error_in_a_later_frame_says_which():
    def broken(ax, w):
        ax.plot([1 / (w - 2)])

    with pytest.raises(ZeroDivisionError) as caught:
        explore(broken, w=[1, 2], alt="Nothing")
    assert caught.value.__notes__ == ["explore: while drawing the frame for {'w': 2}"]


@pytest.mark.usefixtures("live")
def test_a_live_slider_changes_the_figure_and_shows_errors():
    def sometimes(ax, w):
        ax.plot([0, 1 / (w - 2)])

    box = explore(
        sometimes,
        w=slider([1, 2, 3], start=3, label="weight w"),
        alt=lambda w: f"Slope for {w}",
        title="Slopes",
    )
    _, figure, control = box.children
    assert control.description == "weight w"
    body = frame(sometimes, {"w": 3}).split("\n", 1)[1]
    assert body in figure.value
    assert "Slope for 3" in figure.value
    control.value = 1
    assert body not in figure.value
    assert frame(sometimes, {"w": 1}).split("\n", 1)[1] in figure.value
    assert "Slope for 1" in figure.value
    control.value = 2
    assert 'role="alert"' in figure.value
    assert "ZeroDivisionError" in figure.value
    control.index = 2
    assert body in figure.value


def test_the_library_alone_loads_no_pictures():
    code = (
        "import sys, vglib; assert not {'matplotlib', 'ipywidgets', 'vglib.show'} & set(sys.modules);"
        "import vglib.show; assert not {'matplotlib.pyplot', 'ipywidgets'} & set(sys.modules);"
        "assert vglib.show.__all__ == sorted(vglib.show.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
