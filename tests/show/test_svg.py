import hashlib
import re

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vglib.show import COLORS, INK, PAPER, frame, style
from vglib.show.svg import join, pack, prefixed, tidy


def draw(ax, w=0.9):
    t = np.arange(30)
    ax.plot(t, w**t, color=COLORS["near"], label=f"lr = {w}")
    ax.set_ylim(0, 2)
    ax.set_title("lr = 0.085")
    ax.text(3, 1, "on paper", bbox={"facecolor": PAPER, "edgecolor": INK})
    ax.legend()


def test_the_same_input_gives_the_same_bytes():
    first, second = frame(draw, {"w": 0.9}), frame(draw, {"w": 0.9})
    assert first == second
    assert first != frame(draw, {"w": 0.91})
    assert "date" not in first.lower()
    assert "matplotlib" not in first.lower()


def test_ink_and_paper_become_the_colours_of_the_page():
    svg = frame(draw, {"w": 0.9})
    assert INK not in svg
    assert PAPER not in svg
    assert "currentColor" in svg
    assert "var(--vg-paper" in svg
    assert COLORS["near"] in svg
    assert "#000000" not in svg
    assert "#ffffff" not in svg


def test_default_artists_use_no_black_and_no_white():
    def many(axes):
        rng = np.random.default_rng(0)
        axes[0].hist(rng.normal(size=50), edgecolor=INK)
        axes[0].annotate("here", (0, 1), (1, 2), arrowprops={"arrowstyle": "->"})
        axes[1].boxplot([rng.normal(size=50)])
        image = axes[2].imshow(np.eye(4))
        axes[2].figure.colorbar(image, ax=axes[2])

    svg = frame(many, size=(9, 3), panels=(1, 3))
    assert not re.findall(r"<[^>]*(?:#000000|#ffffff|:black|:white)[^>]*>", svg)


def test_black_is_ink():
    def black(ax):
        ax.plot([1, 2], color="k")
        ax.fill_between([0, 1], [1, 2], color="black")
        ax.set_xlabel("step", color="black")

    def ink(ax):
        ax.plot([1, 2], color=INK)
        ax.fill_between([0, 1], [1, 2], color=INK)
        ax.set_xlabel("step", color=INK)

    # Ids are made of the colour that was asked for; a fill left out is inherited from the whole.
    bare = [re.sub(r"#[pm]\w{10}|'[pm]\w{10}'|fill:currentColor;?", "", frame(one)) for one in (black, ink)]
    assert bare[0].replace(" style=''", "") == bare[1].replace(" style=''", "")


def test_numbers_are_rounded_in_attributes_and_never_in_text():
    svg = tidy(
        '<?xml version="1.0"?><svg width="5pt" viewBox="0 0 5.123456 3">\n <g id="a">\n'
        '  <text x="1.23456" style="fill: #010203">lr = 0.085432 '
        '<tspan x="2.34567">#010203 1.987654</tspan> 3.14159</text>\n </g>\n'
        ' <path d="M 1.23456 -0.0001 \nL 2 3e-05" transform="translate(1.23456 2) scale(0.015625 -0.1)"/>\n'
        "</svg>\n"
    )
    assert "<text x='1.23' style='fill:currentColor'>lr = 0.085432 " in svg
    assert ">#010203 1.987654</tspan> 3.14159</text>" in svg
    assert "<tspan x='2.35'>" in svg
    assert "d='M 1.23 0 L 2 3e-05'" in svg or "d='M 1.23 0 L 2 0'" in svg
    assert "transform='translate(1.23 2) scale(0.015625 -0.1)'" in svg
    assert "id=" not in svg


@settings(deadline=None, max_examples=200)
@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="<>&"), min_size=1
    )
)
def test_any_text_comes_through_unchanged(text):
    svg = tidy(f'<svg viewBox="0 0 1 1"><text y="0.123456">x{text}x</text></svg>')
    assert f"<text y='0.12'>x{text}x</text>" in svg


@given(
    st.lists(st.lists(st.sampled_from(["<a/>", "<b/>", "", "<c d='1'/>", "text"]), min_size=1).map("\n".join))
)
def test_reassembly_is_identical(frames):
    lines, runs = pack(frames)
    assert [join(lines, run) for run in runs] == frames
    assert len(set(lines)) == len(lines)


def test_reassembly_of_drawn_frames_is_identical_and_shares_the_axes():
    frames = [frame(draw, {"w": w}) for w in (0.5, 0.9, 0.99)]
    lines, runs = pack(frames)
    assert [join(lines, run) for run in runs] == frames
    assert sum(map(len, lines)) < 0.6 * sum(map(len, frames))


def test_every_reference_is_resolved_and_prefixed():
    plain, svg = frame(draw, {"w": 0.9}), frame(draw, {"w": 0.9}, prefix="vg-1-")
    assert svg == prefixed(plain, "vg-1-")
    ids = re.findall(r"\sid='([^']*)'", svg)
    references = re.findall(r"(?:href='#|url\(#)([^')]*)", svg)
    assert len(set(ids)) == len(ids)
    assert set(references) == set(ids)
    assert all(name.startswith("vg-1-") for name in ids)
    both = "<use href='#a' clip-path='url(#b)' id='c'/><text>href='#d'</text>"
    assert prefixed(both, "p-") == "<use href='#p-a' clip-path='url(#p-b)' id='p-c'/><text>href='#d'</text>"


def test_axes_stand_still_between_frames():
    def labels_grow(ax, top):
        ax.plot([0, top])
        ax.set_ylim(0, top)

    def box(svg):
        return re.findall(r"<rect [^>]*>", svg)

    assert box(frame(labels_grow, {"top": 1})) == box(frame(labels_grow, {"top": 10000}))


def test_panels_get_the_array_of_axes_and_keep_apart():
    seen = []
    frame(lambda axes, w: seen.append(axes), {"w": 1}, size=(6.4, 5), panels=(2, 2))
    assert seen[0].shape == (2, 2)
    boxes = [ax.get_position() for ax in seen[0].flat]
    assert boxes[1].x0 - boxes[0].x1 == pytest.approx((0.98 + 0.16) / 6.4)
    with pytest.raises(ValueError, match="no room for panels 3 x 3"):
        frame(lambda axes, w: None, {"w": 1}, size=(3, 3), panels=(3, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"draw": 3}, TypeError, "draw must be a function"),
        ({"values": {"z": 1}}, TypeError, r"draw\(ax, w=0.9\).*\['z'\]"),
        ({"size": 6}, TypeError, "size must be two numbers of inches"),
        ({"size": (6, -1)}, ValueError, "size must be .* above 0"),
        ({"size": (6, float("nan"))}, ValueError, "size must be"),
        ({"panels": (1, 1.5)}, ValueError, "panels must be two whole numbers"),
        ({"panels": "12"}, TypeError, "panels must be"),
    ],
)
def test_errors_name_what_came(arguments, error, message):
    with pytest.raises(error, match=message):
        frame(**{"draw": draw, **arguments})


def test_the_readers_own_settings_do_not_reach_the_book():
    here = frame(draw, {"w": 0.9})
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "none", "axes.grid": False}):
        assert frame(draw, {"w": 0.9}) == here
        assert mpl.rcParams["lines.linewidth"] == 9


def test_style_gives_matplotlibs_settings_back():
    before = hashlib.sha256(repr(sorted(mpl.rcParams.items())).encode()).hexdigest()
    with style():
        assert mpl.rcParams["text.color"] == INK
    assert hashlib.sha256(repr(sorted(mpl.rcParams.items())).encode()).hexdigest() == before


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("role", sorted(set(COLORS) - {"ink", "paper"}))
@pytest.mark.parametrize("page", ["#ffffff", "#121212", "#14181e"])
def test_colours_read_on_light_and_dark_pages(role, page):
    light, dark = sorted((_luminance(COLORS[role]), _luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3
