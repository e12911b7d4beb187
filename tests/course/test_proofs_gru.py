"""The GRU's path: five readers of one state, and a single gate that closes all paths but one."""

import pytest

from vglib.course.proofs import check, worlds

NAME = "gru_path"
DIRECT, BY_Z = "h_bar[t+1]*d(h[t+1], h[t])", "z_bar[t+1]*d(z[t+1], h[t])"
BY_R, BY_N, SEEN = "r_bar[t+1]*d(r[t+1], h[t])", "n_bar[t+1]*d(n[t+1], h[t])", "y_bar[t]*d(y[t], h[t])"
SUM = (f"h_bar[t] = {DIRECT} + {BY_Z} + {BY_R} + {BY_N} + {SEEN}", "chain rule")
OPEN = ("z[t+1] = 1", "hypothesis")
SHUT = ("r[t+1] = 0", "hypothesis")
GATE = ("z[t+1] = sigma(x_z[t+1] + u_z*h[t])", "definition")
RESET = ("r[t+1] = sigma(x_r[t+1] + u_r*h[t])", "definition")
CANDIDATE = ("n[t+1] = tanh(x_n[t+1] + r[t+1]*(u_n*h[t] + b_n))", "definition")
STATE = ("h[t+1] = (1 - z[t+1])*n[t+1] + z[t+1]*h[t]", "definition")
OUTPUT = ("y[t] = h[t]", "definition")
KEEP = ("d(h[t+1], h[t]) = z[t+1]", "differentiate")
READ = ("d(y[t], h[t]) = 1", "differentiate")
FLAT = ("d(z[t+1], h[t]) = u_z*z[t+1]*(1 - z[t+1])", "differentiate")
WRITTEN_OUT = (
    "d(z[t+1], h[t]) = u_z*sigma(x_z[t+1] + u_z*h[t])*(1 - sigma(x_z[t+1] + u_z*h[t]))",
    "differentiate",
)
NEW = ("n_bar[t+1] = h_bar[t+1]*d(h[t+1], n[t+1])", "chain rule")
LEFT = ("d(h[t+1], n[t+1]) = 1 - z[t+1]", "differentiate")
NONE = ("n_bar[t+1] = 0", "substitute")
OLD = ("r_bar[t+1] = n_bar[t+1]*d(n[t+1], r[t+1])", "chain rule")
NEITHER = ("r_bar[t+1] = 0", "substitute")
CLAIM = ("h_bar[t] = h_bar[t+1] + y_bar[t]", "substitute")

RIGHT = {
    "all definitions first": [
        *[
            GATE,
            RESET,
            CANDIDATE,
            STATE,
            OUTPUT,
            SUM,
            KEEP,
            READ,
            FLAT,
            NEW,
            LEFT,
            OLD,
            OPEN,
            NONE,
            NEITHER,
            CLAIM,
        ]
    ],
    "no definitions": [SUM, OPEN, KEEP, READ, FLAT, LEFT, NEW, NONE, OLD, NEITHER, CLAIM],
    "with numbers": [
        *[SUM, OPEN, KEEP, READ, FLAT, LEFT, NEW, (*NONE, 2, 6, 7), OLD, (*NEITHER, 8, 9)],
        (*CLAIM, 1, 2, 3, 4, 5, 8, 10),
    ],
    "the slope of z written out": [GATE, OPEN, SUM, KEEP, READ, WRITTEN_OUT, LEFT, NEW, OLD, CLAIM],
    "the slope of z is 0 at once": [
        *[OPEN, ("d(z[t+1], h[t]) = 0", "differentiate", 1), ("d(h[t+1], h[t]) = 1", "differentiate", 1)],
        *[("d(h[t+1], n[t+1]) = 0", "differentiate"), NEW, OLD, SUM, READ, CLAIM],
    ],
    "local derivatives within the sums": [
        OPEN,
        ("n_bar[t+1] = h_bar[t+1]*(1 - z[t+1])", "chain rule"),
        ("r_bar[t+1] = n_bar[t+1]*(1 - n[t+1]^2)*(u_n*h[t] + b_n)", "chain rule"),
        (
            f"h_bar[t] = h_bar[t+1]*z[t+1] + z_bar[t+1]*u_z*z[t+1]*(1 - z[t+1]) + {BY_R} + {BY_N} + y_bar[t]",
            "chain rule",
        ),
        CLAIM,
    ],
    "with z_bar, which is not needed": [
        *[SUM, KEEP, READ, FLAT, OPEN, LEFT, NEW, OLD],
        ("z_bar[t+1] = h_bar[t+1]*(h[t] - n[t+1])", "chain rule"),
        CLAIM,
    ],
    "with r = 0, which is not needed": [SUM, KEEP, READ, FLAT, SHUT, OPEN, LEFT, NEW, OLD, CLAIM],
    "the slopes of r and n, too": [
        *[SUM, KEEP, READ, FLAT, OPEN, LEFT, NEW, OLD],
        ("d(r[t+1], h[t]) = u_r*r[t+1]*(1 - r[t+1])", "differentiate"),
        ("d(n[t+1], h[t]) = (1 - n[t+1]^2)*r[t+1]*u_n", "differentiate"),
        ("d(n[t+1], r[t+1]) = (1 - n[t+1]^2)*(u_n*h[t] + b_n)", "differentiate"),
        CLAIM,
    ],
    "in mathematicians' signs": [
        ("n̄ₜ₊₁ = h̄ₜ₊₁·(1 − zₜ₊₁)", "chain rule"),
        ("r̄ₜ₊₁ = n̄ₜ₊₁·d(nₜ₊₁, rₜ₊₁)", "chain rule"),
        (SUM[0].replace("h_bar", "h̄").replace("z_bar", "z̄"), "chain rule"),
        ("zₜ₊₁ = 1", "hypothesis"),
        ("zₜ₊₁ = σ(x_z[t+1] + u_z·hₜ)", "definition"),
        *[
            ("d(zₜ₊₁, hₜ) = u_z·zₜ₊₁·(1 − zₜ₊₁)", "differentiate"),
            KEEP,
            READ,
            ("h̄ₜ = h̄ₜ₊₁ + ȳₜ", "substitute"),
        ],
    ],
}

WRONG = {
    "the direct path alone": (
        [("h_bar[t] = h_bar[t+1]*d(h[t+1], h[t])", "chain rule"), KEEP, OPEN, CLAIM],
        1,
        "h[t] is read by h[t+1], z[t+1], r[t+1], n[t+1] and y[t], so the sum has five terms. Missing: "
        f"{BY_Z} and {BY_R} and {BY_N} and {SEEN}.",
    ),
    "the loss forgotten": (
        [(f"h_bar[t] = {DIRECT} + {BY_Z} + {BY_R} + {BY_N}", "chain rule")],
        1,
        f"Missing: {SEEN}",
    ),
    "the update gate forgotten": (
        [(f"h_bar[t] = {DIRECT} + {BY_R} + {BY_N} + {SEEN}", "chain rule")],
        1,
        f"Missing: {BY_Z}. If it is 0, a later step has to show it.",
    ),
    "the reset gate forgotten": (
        [(f"h_bar[t] = {DIRECT} + {BY_Z} + {BY_N} + {SEEN}", "chain rule")],
        1,
        f"Missing: {BY_R}",
    ),
    "the candidate forgotten": (
        [(f"h_bar[t] = {DIRECT} + {BY_Z} + {BY_R} + {SEEN}", "chain rule")],
        1,
        f"Missing: {BY_N}",
    ),
    "the gates held fixed": (
        [("h_bar[t] = h_bar[t+1]*z[t+1] + y_bar[t]", "chain rule"), OPEN, CLAIM],
        1,
        "the sum has five terms",
    ),
    "readers a step too early": (
        [(SUM[0].replace(BY_R, "r_bar[t]*d(r[t], h[t])"), "chain rule")],
        1,
        "r_bar[t] does not belong there. Whatever comes after a reader is in its total derivative.",
    ),
    "z for how much is new": (
        [("h[t+1] = z[t+1]*n[t+1] + (1 - z[t+1])*h[t]", "definition")],
        1,
        "The definition is h[t+1] = (1 - z[t+1])*n[t+1] + z[t+1]*h[t]",
    ),
    "r before the product": (
        [("n[t+1] = tanh(x_n[t+1] + u_n*(r[t+1]*h[t]) + b_n)", "definition")],
        1,
        "The definition is n[t+1] = tanh(x_n[t+1] + r[t+1]*(u_n*h[t] + b_n))",
    ),
    "the derivative with z for new": (
        [SUM, ("d(h[t+1], h[t]) = 1 - z[t+1]", "differentiate")],
        2,
        "the derivative of h[t+1] by h[t] is z[t+1], not 1 - z[t+1]",
    ),
    "the gates not held fixed": (
        [("d(h[t+1], h[t]) = z[t+1] + d(z[t+1], h[t])*(h[t] - n[t+1])", "differentiate")],
        1,
        "with all else held fixed, the derivative of h[t+1] by h[t] is z[t+1], not",
    ),
    "sigma its own slope": (
        [SUM, ("d(z[t+1], h[t]) = u_z*z[t+1]", "differentiate")],
        2,
        "the derivative of z[t+1] by h[t] is u_z*(1 - z[t+1])*z[t+1], not u_z*z[t+1]",
    ),
    "the slope of tanh for sigma": (
        [("d(z[t+1], h[t]) = u_z*(1 - z[t+1]^2)", "differentiate")],
        1,
        "is u_z*(1 - z[t+1])*z[t+1], not",
    ),
    "the slope without its weight": (
        [("d(z[t+1], h[t]) = z[t+1]*(1 - z[t+1])", "differentiate")],
        1,
        "is u_z*(1 - z[t+1])*z[t+1], not z[t+1]*(1 - z[t+1])",
    ),
    "z = 1 used in silence": (
        [SUM, KEEP, READ, FLAT, LEFT, NEW, OLD, CLAIM],
        8,
        "It needs the hypothesis z[t+1] = 1: state it as a step before this one",
    ),
    "r = 0 instead of z = 1": (
        [SUM, KEEP, READ, FLAT, LEFT, NEW, OLD, SHUT, CLAIM],
        9,
        "It needs the hypothesis z[t+1] = 1",
    ),
    "z = 1 does not close the reset gate's own slope": (
        [OPEN, ("d(r[t+1], h[t]) = 0", "differentiate")],
        2,
        "the derivative of r[t+1] by h[t] is u_r*(1 - r[t+1])*r[t+1], not 0",
    ),
    "the candidate's path left open": (
        [SUM, KEEP, READ, FLAT, OPEN, NEW, OLD, CLAIM],
        8,
        "and nothing used here makes that 0",
    ),
    "r_bar from h_bar": (
        [("r_bar[t+1] = h_bar[t+1]*d(h[t+1], r[t+1])", "chain rule")],
        1,
        "r[t+1] is read by n[t+1], so the sum has one term. h_bar[t+1] does not belong there",
    ),
    "z = 0": ([("z[t+1] = 0", "hypothesis")], 1, "The hypothesis is z[t+1] = 1"),
    "z of another step": ([("z[t] = 1", "hypothesis")], 1, "nothing of the kind is given"),
    "no loss at t": ([SUM, ("y_bar[t] = 0", "hypothesis")], 2, "nothing of the kind is given"),
    "the claim without the loss": (
        [SUM, KEEP, READ, FLAT, OPEN, LEFT, NEW, OLD, ("h_bar[t] = h_bar[t+1]", "substitute")],
        9,
        "left minus right leaves y_bar[t], and nothing",
    ),
    "the claim assumed": ([(CLAIM[0], "hypothesis")], 1, "that is the claim itself"),
    "the value carried, not the gradient": (
        [STATE, OPEN, ("h[t+1] = h[t]", "substitute"), CLAIM],
        4,
        "left minus right leaves",
    ),
    "sigma of 0": ([("sigma(0) = 0", "algebra")], 1, "left minus right leaves sigma(0)"),
    "sigma put for a number": ([OPEN, GATE, ("x_z[t+1] = 0", "substitute")], 3, "left minus right leaves"),
    "sigma without brackets": ([("sigma*(h[t]) = 1", "algebra")], 1, "its brackets come first: sigma(…)"),
}


@pytest.mark.parametrize("steps", RIGHT.values(), ids=RIGHT)
def test_right_proofs_pass(steps):
    report = check(NAME, steps)
    assert report.passed, str(report)


@pytest.mark.parametrize(("steps", "number", "words"), WRONG.values(), ids=WRONG)
def test_wrong_proofs_fail_where_they_are_wrong(steps, number, words):
    report = check(NAME, steps)
    assert not report.passed
    assert words in report.message
    assert [step.number for step in report.steps if not step.right][:1] == [number]


def test_wrong_proofs_fail_without_random_numbers_too(monkeypatch):
    """The symbolic side alone lets none of them through."""
    monkeypatch.setattr(worlds, "agrees", lambda *_: True)
    for steps, _, _ in WRONG.values():
        assert not check(NAME, steps).passed
