"""The figures that several chapters share draw what they are given."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vglib.base.data import specimen
from vglib.show import figures


@pytest.fixture
def ax():
    return Figure().subplots()


def boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


class TestBrightness:
    def test_is_even_per_decade_between_the_largest_and_the_faintest(self):
        assert figures.brightness([1, 1e-3, 1e-6, 1e-9, 0]) == pytest.approx([1, 0.5, 0, 0, 0])

    def test_does_not_depend_on_the_unit(self):
        sizes = np.array([3.0, 0.2, 1e-5])
        assert figures.brightness(1e-40 * sizes) == pytest.approx(figures.brightness(sizes))

    def test_nothing_arrives_nothing_is_lit(self):
        assert figures.brightness([0.0, 0.0]) == pytest.approx([0, 0])


class TestSentence:
    def test_writes_every_word_and_lights_it(self, ax):
        words = ["I", "grew", "up", "in", "France"]
        assert figures.draw_sentence(ax, words, [1e-6, 1e-4, 1e-3, 1e-2, 1], "French", marked=4) is ax
        assert [text.get_text() for text in ax.texts] == [*words, "French"]
        assert [t.get_text() for t in ax.texts if t.get_weight() == "bold"] == ["France", "French"]
        alphas = [box.get_alpha() for box in boxes(ax)[:-1]]
        assert alphas == sorted(alphas)
        assert alphas[0] == 0
        assert alphas[-1] > 0.5

    def test_no_two_words_overlap_and_none_leaves_the_page(self, ax):
        words = ["word"] * 30
        figures.draw_sentence(ax, words, np.ones(30), "target", marked=0, lines=4)
        taken = {}
        for box in boxes(ax):
            left, right = box.get_x(), box.get_x() + box.get_width()
            assert right <= ax.get_xlim()[1]
            assert ax.get_ylim()[0] <= box.get_y()
            line = taken.setdefault(round(box.get_y(), 3), [])
            assert all(right <= other_left or left >= other_right for other_left, other_right in line)
            line.append((left, right))


class TestSplit:
    def test_the_rate_moves_all_dots_together(self, ax):
        lengths = {"one": (1.0, 1e-5), "two": (2.0, 0.5)}
        figures.draw_split(ax, lengths, rate=1.0)
        other = Figure().subplots()
        figures.draw_split(other, lengths, rate=10.0)
        for before, after in zip(ax.collections, other.collections, strict=True):
            assert after.get_offsets()[0, 0] == pytest.approx(10 * before.get_offsets()[0, 0])
        assert {t.get_text() for t in ax.texts} == {"one", "two"}


class TestLags:
    def test_natural_logarithms_become_powers_of_ten(self, ax):
        figures.draw_lags(ax, {"a": ([0, 1], [0.0, np.log(100)])}, {"a": "#ff0000"}, dashed=["a"])
        line = ax.lines[0]
        assert line.get_ydata() == pytest.approx([0, 2])
        assert to_rgba(line.get_color()) == to_rgba("#ff0000")
        assert line.get_linestyle() == "--"
        assert ax.yaxis.get_major_formatter()(2, 0) == "$10^{2}$"


class TestInfluence:
    def test_zeros_stay_empty_and_small_values_meet_the_floor(self, ax):
        figures.draw_influence(ax, np.array([[1.0, 0.0], [1e-12, 5.0]]))
        shown = np.ma.filled(ax.images[0].get_array(), np.nan)
        assert np.isnan(shown[0, 1])
        assert shown[1, 0] == pytest.approx(1e-6)
        assert shown[1, 1] == 1.0


def test_the_unrolled_net_has_a_node_for_every_input_state_and_loss(ax):
    figures.draw_unrolled(ax, steps=3)
    texts = [t.get_text() for t in ax.texts]
    for kind, first in (("x", 0), ("h", 1), ("L", 0)):
        assert [f"${kind}_{first + t}$" in texts for t in range(3)] == [True] * 3


def test_stretch_gives_the_panels_the_heights_asked_for():
    axes = Figure(figsize=(6, 6)).subplots(2, 1)
    figures.stretch(axes, (3, 1))
    heights = [ax.get_position().height for ax in axes]
    assert heights[0] == pytest.approx(3 * heights[1])
    assert axes[0].get_position().x0 < 0.05


class TestSpecimen:
    def test_lags_run_back_from_the_last_state_and_france_stands_at_the_state_that_has_read_it(self, ax):
        sentence = specimen(lag=10)
        logs = np.log(10) * np.arange(len(sentence.words) + 1.0)
        figures.draw_specimen(ax, sentence, {"a": logs}, {"a": "red"}, dashed=["a"])
        line = ax.lines[0]
        assert line.get_ydata() == pytest.approx(logs[::-1] / np.log(10))
        assert list(line.get_xdata()) == list(range(len(logs)))
        assert (line.get_label(), line.get_color(), line.get_linestyle()) == ("a", "red", "--")
        # So many steps back from the last state lies the one that comes after "France".
        assert ax.lines[-1].get_xdata()[0] == len(sentence.words) - (sentence.source + 1)
