"""The figure of the three gates: its numbers against the library and autograd, its drawing, its words."""

import itertools
import json
import math
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from vglib import bptt
from vglib.show import gates
from vglib.show.held import CELL, held, sentence, written

STEPS = len(CELL["x"])
INSIDE = [0.02, 0.3, 0.5, 0.9, 0.99]
CORNERS = [*itertools.product([0.0, 1.0], repeat=3), (0.0, 1.0, 0.5), (0.5, 0.0, 1.0), (0.7, 1.0, 0.0)]
GRID = [*CORNERS, *itertools.product(INSIDE, repeat=3)]


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setenv("VGLIB_STATIC", "1")


def same(found, wanted):
    """Assert that all agree to 1e-12: of themselves where they are small, a gradient of 1e-14 included."""
    # A gate of sigmoid(-40) is not quite shut: 4e-18 comes through. A sum of ones that ends near 0 has the
    # rounding of its terms.
    crossing = 1e-13 * (np.min(wanted) < 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16 + crossing)


def bias(gate):
    """The pre-activation of a gate; 40 is as open as float64 goes, and as shut as matters."""
    return math.log(gate / (1 - gate)) if 0 < gate < 1 else 80 * gate - 40


def library(i, f, o):
    """The same cell as an LSTM of the library, through which a loss of c_T is sent back."""
    from vglib import LSTM

    at = np.array([bias(i), bias(f), 0.0, bias(o)])
    only_g = np.array([[0.0], [0.0], [1.0], [0.0]])
    cell = LSTM(weight_ih=CELL["w"] * only_g, weight_hh=CELL["r"] * only_g, bias_ih=at, bias_hh=np.zeros(4))
    c0 = np.full((1, 1), CELL["written"])
    start = cell.join(h=o * np.tanh(c0), c=c0)
    x = np.reshape(np.array(CELL["x"]), (STEPS, 1, 1))
    trace = bptt.unroll(cell, x, initial=start)
    end = cell.join(h=np.zeros((1, 1)), c=np.ones((1, 1)))
    grads = bptt.backprop(trace, np.zeros((STEPS, 1, 1)), d_final=end)
    states, total = cell.split(trace.states), grads.cells[:, 0, 0].copy()
    # The library is given h_0 and c_0 and takes them for two; here h_0 follows what is written into c_0.
    total[0] += (o * (1 - np.tanh(c0) ** 2) * cell.split(grads.states)["h"][0])[0, 0]
    return {"c": states["c"][:, 0, 0], "h": states["h"][:, 0, 0], "total": total}


@pytest.mark.parametrize("at", GRID, ids=str)
def test_numbers_are_those_of_the_library(at):
    found, wanted = held(*at), library(*at)
    for name, values in wanted.items():
        same(found[name], values)


@pytest.mark.parametrize("at", [(0.3, 0.9, 0.5), (1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0)], ids=str)
def test_numbers_are_those_of_autograd(torch, at):
    i, f, o = at
    c = [torch.tensor(CELL["written"], dtype=torch.float64, requires_grad=True)]
    h = [o * torch.tanh(c[0])]
    for x in CELL["x"]:
        c.append(f * c[-1] + i * torch.tanh(CELL["w"] * x + CELL["r"] * h[-1]))
        c[-1].retain_grad()
        h.append(o * torch.tanh(c[-1]))
    c[-1].backward()
    found = held(i, f, o)
    same(found["c"], [float(one.detach()) for one in c])
    same(found["h"], [float(one.detach()) for one in h])
    same(found["total"], [float(one.grad) for one in c])


@pytest.mark.parametrize(("i", "o"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_only_the_cell_is_left_when_a_way_through_the_output_is_shut(i, o):
    for f in (0.0, 0.5, 1.0):
        found = held(i, f, o)
        powers = [f ** (STEPS - t) for t in range(STEPS + 1)]
        assert found["total"] == found["straight"] == pytest.approx(powers, rel=1e-14)


def test_remembering_with_the_output_shut_passes_the_gradient_through_unchanged():
    found = held(0, 1, 0)
    assert found["c"] == [1.0] * (STEPS + 1)
    assert found["total"] == [1.0] * (STEPS + 1)
    assert found["h"] == [0.0] * (STEPS + 1)


def test_no_gate_leads_a_line_off_the_drawing():
    steps = [position / 10 for position in range(11)]
    every = [held(*at) for at in itertools.product(steps, repeat=3)]
    assert -2.7 < min(min(found["c"]) for found in every) < max(max(found["c"]) for found in every) < 5.3
    largest = max(max(found["total"]) for found in every)
    assert 100 < largest < 1000  # with all gates open: it explodes, and stays on the drawing


def test_words_say_what_the_numbers_are():
    said = {name: sentence(at, held(**at)) for name, at in _NAMED.items()}
    assert said == {
        "remember": "After 20 steps the cell holds all of what was written. The output shows nothing. "
        "A gradient of 1 at the end is 1 at step\u00a00, all of it straight along the cell.",
        "overwrite": "After 20 steps the cell holds nothing of what was written; with new input "
        "it stands at −0.66. The output shows −0.58. "
        "A gradient of 1 at the end is 3.7\u00a0×\u00a010⁻¹⁴ at step\u00a00, all of it by way of the output.",
        "erase": "After 20 steps the cell holds nothing of what was written. The output shows 0. "
        "A gradient of 1 at the end is 0 at step\u00a00.",
        "between": "After 20 steps the cell holds 0.36 of what was written; with new input "
        "it stands at 0.64. The output shows 0.28. "
        "A gradient of 1 at the end is 0.58 at step\u00a00, of which 0.36 came straight along the cell.",
    }


_NAMED = {
    "remember": {"i": 0, "f": 1, "o": 0},
    "overwrite": {"i": 1, "f": 0, "o": 1},
    "erase": {"i": 0, "f": 0, "o": 1},
    "between": {"i": 0.2, "f": 0.95, "o": 0.5},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0"), (1, "1"), (-1.0, "−1"), (0.999, "1.0"), (0.0364, "0.036"), (12.3, "12")],
        *[
            (99.6, "100"),
            (342.13, "342"),
            (-0.00094, "−9.4\u00a0×\u00a010⁻⁴"),
            (0.5**40, "9.1\u00a0×\u00a010⁻¹³"),
        ],
    ],
)
def test_numbers_are_written_with_two_digits(value, text):
    assert written(value) == text


@pytest.mark.usefixtures("static")
def test_the_page_gets_no_script_and_no_style_of_its_own():
    shown = gates()
    assert re.findall("<(?:script|style)[^>]*>", shown.html) == [
        '<script type="application/json" class="vg-data">'
    ]
    assert "http" not in shown.html
    assert shown.html == gates(0.5, 0.9, 0.5).html
    assert shown.html != gates(f=0.8).html


def test_a_notebook_gets_both(monkeypatch):
    monkeypatch.setenv("VGLIB_STATIC", "1")
    built = gates(title="Gates & more").html
    monkeypatch.delenv("VGLIB_STATIC")
    shown = gates(title="Gates & more")
    assert built in shown.html
    assert shown.html.startswith("<style>")
    assert shown.html.endswith("</script>")
    assert len(shown.html.encode()) < 100_000
    assert "Gates &amp; more" in shown.html
    assert shown._repr_html_() == shown.html
    assert (
        repr(shown) == "gates(i=0.5, f=0.9, o=0.5): "
        "After 20 steps the cell holds 0.12 of what was written; with new input"
    )


@pytest.mark.usefixtures("static")
def test_without_a_script_it_is_a_figure_with_its_words_and_no_dead_controls():
    shown = gates(i=0, f=0.95, o=1)
    assert sentence({"i": 0, "f": 0.95, "o": 1}, held(0, 0.95, 1)) in shown.html
    assert "Drawn for the gates i = 0.00, f = 0.95, o = 1.00." in shown.html
    assert '<div class="vg-hands" hidden>' in shown.html
    alts = re.findall(r'role="img" aria-label="([^"]*)"', shown.html)
    assert (
        "the cell goes from 1 to 0.36, at most 1, at least 0.36; the output goes from 0.76 to 0.34" in alts[0]
    )
    assert "the whole gradient goes from 1 to 0.36" in alts[1]
    cell = re.search(r'data-line="cell" [^>]* d="([^"]*)"', shown.html)[1]
    heights = [-float(point.split()[1]) for point in re.split("[ML]", cell)[1:]]
    assert heights == pytest.approx(held(0, 0.95, 1)["c"], abs=6e-4)


@pytest.mark.usefixtures("static")
def test_controls_are_named_and_start_where_asked():
    html = gates(i=0.25, f=1, o=0).html
    for name, label, value in [
        ("i", "input gate i", "0.25"),
        ("f", "forget gate f", "1.00"),
        ("o", "output gate o", "0.00"),
    ]:
        named = re.search(rf'<label for="([^"]*)">{label}</label>', html)[1]
        field = re.search(rf'<input type="range" id="{named}"[^>]*>', html)[0]
        assert f'name="{name}"' in field
        assert f'aria-valuetext="{value}"' in field
        assert float(re.search(r' value="([^"]*)"', field)[1]) == float(value)
        assert f">{value}</output>" in html
    pressed = dict(re.findall(r'aria-pressed="([^"]*)"[^>]*>(\w+ ?\w*) <span>', html)[::-1])
    assert pressed["true"] == "output shut"


@pytest.mark.usefixtures("static")
def test_a_title_cannot_leave_its_place():
    nasty = "</script><!--\"'&<b>"
    html = gates(title=nasty).html
    assert "<b>" not in html
    assert html.count("</script>") == 1
    data = json.loads(re.search(r'class="vg-data">(.*?)</script>', html)[1])
    assert data == CELL


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"i": -0.1}, ValueError, "i must be finite and at least 0; got -0.1"),
        ({"f": 1.01}, ValueError, "f must be at most 1, a gate that is open; got 1.01"),
        ({"o": float("nan")}, ValueError, "o must be finite and at least 0; got nan"),
        ({"o": float("inf")}, ValueError, "o must be finite and at least 0; got inf"),
        ({"i": "0.5"}, TypeError, "i must be a number; got '0.5'"),
        ({"f": True}, TypeError, "f must be a number; got True"),
        ({"f": np.array([0.5])}, TypeError, "f must be a number"),
        ({"f": None}, TypeError, "f must be a number; got None"),
        ({"f": 0.995}, ValueError, "f must be a whole number of hundredths, .* got 0.995"),
        ({"title": " "}, ValueError, "title must be text, not ' '"),
        ({"title": 3}, ValueError, "title must be text, not 3"),
    ],
)
def test_errors_name_what_came(arguments, error, message):
    with pytest.raises(error, match=message):
        gates(**arguments)
    if not {"title"} & set(arguments) and "hundredths" not in message:
        with pytest.raises(error, match=message):
            held(**{"i": 0.5, "f": 0.5, "o": 0.5, **arguments})


def test_numbers_of_numpy_are_welcome():
    assert gates(np.float64(0.5), np.float32(0.9), 0.1 + 0.4).html == gates().html
