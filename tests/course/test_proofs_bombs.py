"""Proofs meant to do harm: each is refused or stopped in time, with a sentence, and none of them crashes."""

import time
from itertools import pairwise

import pytest

from vglib.course.proofs import judge_within, parse
from vglib.course.proofs.checker import judge

LSTM, GRU, Q, CLIP = "lstm_passthrough", "gru_path", "orthogonal_norm", "clipping_direction"
HOCH = "hochreiter_bound"
SECONDS = 2.8


class Sly(list):
    """A list that answers as it likes."""

    def __len__(self):
        return 3

    __eq__ = __contains__ = lambda self, other: True
    __hash__ = None


class Text(str):
    """A text that is equal to every other."""

    __eq__ = lambda self, other: True  # noqa: E731
    __hash__ = str.__hash__


class Whole(int):
    """A number that is every number."""

    __eq__ = __le__ = __ge__ = lambda self, other: True
    __hash__ = int.__hash__


def deep(levels, node="neg"):
    tree = ["symbol", "x"]
    for _ in range(levels):
        tree = [node, tree]
    return tree


def wide(levels):
    tree = ["symbol", "x"]
    for _ in range(levels):
        tree = ["+", tree, tree]
    return tree


LOOP: list = ["+"]
LOOP += [LOOP, LOOP]
STEPS: list = [[["=", 1, 1], "algebra", None]]
STEPS.append(STEPS)
SAME = ["=", ["symbol", "x"], ["symbol", "x"]]
LONG = "the equation is too long"
NO_NODE = "an expression must be an integer or a list"
CITES = "it uses a step that does not come before it"

# Not even trees: what a process may send that was taken over.
ODD = {
    "so many steps": ([[SAME, "algebra", None]] * 10**5, "a list of 1 to 40 steps is wanted"),
    "a step within a step": (STEPS, "step 2: a step has an equation, a rule"),
    "deep": ([[["=", deep(10**5), 0], "algebra", None]], LONG),
    "wide": ([[["=", wide(60), 0], "algebra", None]], LONG),
    "a loop": ([[["=", LOOP, 0], "algebra", None]], LONG),
    "a dict for a node": ([[["=", {"symbol": "x"}, 0], "algebra", None]], NO_NODE),
    "a dict for a step": ([{"tree": SAME}], "step 1: a step has an equation"),
    "nan": ([[["=", float("nan"), 0], "algebra", None]], NO_NODE),
    "inf": ([[["=", float("inf"), float("inf")], "algebra", None]], NO_NODE),
    "true": ([[["=", True, 1], "algebra", None]], NO_NODE),
    "nothing": ([[["=", None, None], "algebra", None]], NO_NODE),
    "a huge number": ([[["=", 10**5000, 0], "algebra", None]], "numbers may have a size of at most"),
    "a huge exponent": (
        [[["=", ["^", 2, 10**5000], 0], "algebra", None]],
        "an exponent must be a whole number",
    ),
    "a huge step": ([[["=", ["step", "e", 10**9], 0], "algebra", None]], "a symbol needs a step q"),
    "a step before the first": ([[["=", ["step", "e", -1], 0], "algebra", None]], "a symbol needs a step q"),
    "a step that is a text": ([[["=", ["step", "e", "q"], 0], "algebra", None]], "a symbol needs a step q"),
    "a start with more": ([[["=", ["start", "e", 0], 0], "algebra", None]], "node 'start' takes 1, not 2"),
    "q-1 as an exponent": ([[["=", ["raise", 2, -1], 0], "algebra", None]], "an exponent must be q"),
    "q + True": ([[["=", ["raise", 2, True], 0], "algebra", None]], "an exponent must be q"),
    "an exponent that is a tree": (
        [[["=", ["^", 2, ["symbol", "x"]], 0], "algebra", None]],
        "an exponent must",
    ),
    "a node of Python": ([[["=", ["eval", "1"], 0], "algebra", None]], "unknown node 'eval'"),
    "a name of Python": ([[["=", ["symbol", "__class__"], 0], "algebra", None]], "a symbol needs a name"),
    "a name and a line": ([[["=", ["symbol", "x\n"], 0], "algebra", None]], "a symbol needs a name"),
    "a Cyrillic letter": ([[["=", ["symbol", "\u0445"], 0], "algebra", None]], "a symbol needs a name"),
    "a wide letter": ([[["=", ["symbol", "\uff58"], 0], "algebra", None]], "a symbol needs a name"),
    "half a character": ([[["=", ["symbol", "\ud800"], 0], "algebra", None]], "a symbol needs a name"),
    "half a character as a node": ([[["=", ["\ud800"], 0], "algebra", None]], "unknown node '\\ud800'"),
    "a relation within a relation": ([[["=", SAME, SAME], "algebra", None]], "unknown node '='"),
    "no relation": ([[["x", 1, 1], "algebra", None]], "a step must be one relation"),
    "a list that lies": ([Sly([SAME, "algebra", None])], "a step has an equation"),
    "a tree that lies": ([[Sly(SAME), "algebra", None]], "a step must be one relation"),
    "a node that lies": ([[["=", [Text("symbol"), "x"], 0], "algebra", None]], NO_NODE),
    "a rule that lies": ([[SAME, Text("algebra"), None]], "a step has an equation"),
    "an exponent that lies": ([[["=", ["^", 2, Whole(10**9)], 0], "algebra", None]], "an exponent must"),
    "a number that lies": ([[["=", Whole(1), 2], "algebra", None]], NO_NODE),
    "a citation that lies": (
        [[SAME, "algebra", None], [SAME, "algebra", [Whole(9)]]],
        "come as a list of their",
    ),
    "a rule of a million letters": ([[SAME, "a" * 10**6, None]], "a step has an equation"),
    "half a character as a rule": ([[SAME, "\ud800", None]], "unknown rule '?'"),
    "a rule with an invisible letter": ([[SAME, "algebra\u200b", None]], "unknown rule"),
    "a rule in wide letters": ([[SAME, "\uff41lgebra", None]], "did you mean algebra?"),
    "it cites itself": ([[SAME, "algebra", [1]]], CITES),
    "it cites what comes": ([[SAME, "algebra", [2]], [SAME, "algebra", None]], CITES),
    "it cites true": (
        [[SAME, "algebra", None], [SAME, "algebra", [True]]],
        "come as a list of their numbers",
    ),
    "it cites a huge number": ([[SAME, "algebra", [10**5000]]], CITES),
    "it cites everything": ([[SAME, "algebra", [0] * 10**6]], "come as a list of their numbers"),
}


def tower(base, power, levels):
    for _ in range(levels):
        base = f"({base})^{power}"
    return base


def rule(name, *texts):
    return [(text, name) for text in texts]


LETTERS = [f"{name}[t{step}]" for name in "chfgio" for step in ("", "+1", "-1", "+2", "-2")]
TEN = "+".join(LETTERS[:10])
FIVE = "norm(e[0])+norm(e[q])+norm(W)+b+gamma"
ASSUMED = ("norm(e[q]) <= b^q*norm(e[0])", "induction hypothesis")

# Trees, but such that SymPy would compute for hours, or that look like a proof.
HEAVY = {
    "a tower": (LSTM, rule("algebra", f"{tower('c[t]+1', 6, 6)} = 1"), "there is a power of 46656 in it"),
    "a tower of numbers": (LSTM, rule("algebra", f"{tower('999999', 6, 8)} = 1"), "become too large"),
    "a tower of q": (HOCH, rule("algebra", f"{tower('b', 'q', 12)} = 1"), "left minus right leaves"),
    "a tower of q+6": (HOCH, rule("algebra", f"{tower('b', '(q+6)', 12)} = 1"), "there is a power of"),
    "a tower of sums": (
        HOCH,
        rule("algebra", f"{tower('1+b', '(q+6)', 8)} = 1"),
        "too large to multiply out",
    ),
    "a tower of norms": (HOCH, rule("sign", f"{tower(FIVE, '(q+3)', 9)} >= 0"), "too large to multiply out"),
    "powers of a long sum": (LSTM, rule("algebra", f"({TEN})^6*({TEN})^6*({TEN})^6 = 0"), "too large"),
    "powers of q of a long sum": (
        HOCH,
        rule("algebra", f"({FIVE})^(q+6)*({FIVE})^(q+6) = 0"),
        "the expression is too large to multiply out",
    ),
    "fractions in fractions": (
        LSTM,
        rule("algebra", "1/(1/(1/(1/(1/(c[t]+h[t])+f[t])+g[t])+o[t])+i[t]) = 1"),
        "it divides by",
    ),
    "curves in curves": (
        GRU,
        rule("algebra", f"{'sigma(tanh(' * 8}h[t]^6{'))' * 8} = {'tanh(sigma(' * 8}h[t]^6{'))' * 8}"),
        "left minus right leaves",
    ),
    "roots in roots": (
        CLIP,
        rule("norm", "sqrt(sqrt(sqrt(sqrt(a - eta)))) = sqrt(sqrt(-1))"),
        "left minus right leaves",
    ),
    "sizes and minima": (
        CLIP,
        rule(
            "absolute value", "abs(abs(abs(a - eta) - a) - eta) = min(min(a, eta), min(abs(a), min(eta, a)))"
        ),
        "no step used here says",
    ),
    "0/0": (LSTM, rule("algebra", "0/0 = 1"), "it divides by 0"),
    "1/0 in disguise": (
        LSTM,
        rule("algebra", "1/((c[t]+1)^2 - c[t]^2 - 2*c[t] - 1) = 1"),
        "it divides by 0",
    ),
    "0^-1": (LSTM, rule("algebra", "(c[t] - c[t])^-1 = 1"), "it divides by 0"),
    "1/0^q": (HOCH, rule("algebra", "1/0^q = 1"), "it divides by (0)^q, and no earlier step says"),
    "0^q": (HOCH, rule("algebra", "0^q*b = 0"), "left minus right leaves"),
    "1/b to the power of q": (HOCH, rule("algebra", "(1/b)^q*b^q = 1"), "it divides by b"),
    "a power of a negative number": (HOCH, rule("sign", "(-1)^q >= 0"), "(-1)^q may be negative"),
    "a power of 1 that is none": (HOCH, rule("algebra", "(b/b)^q = 1"), "it divides by b"),
    "a power of a sum taken apart": (
        HOCH,
        rule("sign", "(norm(W) + gamma)^q >= norm(W)^q"),
        "may be negative",
    ),
    "many equations": (
        LSTM,
        rule("algebra", *(f"{a}*{b} = {b} + 1" for a, b in pairwise(LETTERS))),
        "left minus right leaves",
    ),
    "many definitions to put in": (
        LSTM,
        [
            *rule(
                "definition", "c[t+2] = f[t+2]*c[t+1] + i[t+2]*g[t+2]", "c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]"
            ),
            *rule("definition", "c[t] = f[t]*c[t-1] + i[t]*g[t]", "c[t-1] = f[t-1]*c[t-2] + i[t-1]*g[t-1]"),
            *rule("substitute", *(f"(c[t+2] + {k})^3 = {k}" for k in range(36))),
        ],
        "left minus right leaves",
    ),
    "many inequalities": (
        HOCH,
        [
            *rule(
                "sign", *(f"norm(e[q]) + {k}*norm(W)*norm(e[0]) >= {k}*norm(W)*norm(e[0])" for k in range(20))
            ),
            *rule("monotone", *(f"norm(e[q+1]) <= norm(e[q]) + {k}*norm(W)*gamma" for k in range(20))),
        ],
        "may be negative",
    ),
    "a chain that goes in circles": (
        HOCH,
        [
            *rule("norm inequality", *(f"norm({'*'.join('W' * k)}) <= norm(W)^{k}" for k in range(2, 7))),
            *rule("monotone", *(f"norm(W)^{k} <= norm(W*W)^{k}" for k in range(1, 6))),
        ],
        "may be negative",
    ),
    "long products": (
        HOCH,
        rule("norm inequality", *(f"norm(W*W.T*W*W.T*W*W.T) <= {k}*norm(W)^5" for k in range(1, 41))),
        "may be negative",
    ),
    "a product of many factors": (
        HOCH,
        rule("norm inequality", f"norm({'*'.join('W' * 15)}) <= norm(W)"),
        "a product of more than 6 factors",
    ),
    "sums of matrices multiplied": (
        HOCH,
        rule("norm inequality", "norm((W + W.T)*(W - W.T)*(W + W.T)*(W - W.T)*(W + W.T)) <= norm(W)"),
        "may be negative",
    ),
    "sums of matrices multiplied, often": (
        HOCH,
        rule("norm inequality", f"norm({'*'.join(['(W + W.T)'] * 12)}) <= norm(W)"),
        "the expression is too large to multiply out",
    ),
    "diagonals of diagonals": (
        HOCH,
        rule("algebra", "diag(diag(s[q])) = W"),
        "diag takes a column of n numbers; an n×n matrix came",
    ),
    "an induction elsewhere": (
        Q,
        rule("induction hypothesis", "norm(Q*x) = norm(x)"),
        "is not among those of this theorem",
    ),
    "an induction in a circle": (
        HOCH,
        [
            ASSUMED,
            ("norm(e[0]) <= norm(e[0]) + b^q*norm(e[0]) - norm(e[q])", "monotone"),
            (ASSUMED[0], "induction"),
        ],
        "the base case is not among the steps",
    ),
    "hundreds of products": (
        CLIP,
        rule("algebra", f"{'*'.join(f'(a + eta + {k})' for k in range(18))} = 0"),
        "too large to multiply out",
    ),
}


def check_refusal(name, plain, words):
    assert judge_within(Q, [[SAME, "algebra", None]], 60).steps  # a process is ready
    begun = time.monotonic()
    report = judge_within(name, plain, SECONDS)
    assert time.monotonic() - begun < 3
    assert not report.passed
    assert words in report.message
    str(report).encode()


@pytest.mark.parametrize(("plain", "words"), ODD.values(), ids=ODD)
def test_odd_objects_are_refused(plain, words):
    for name in (LSTM, HOCH):
        check_refusal(name, plain, words)
    assert not judge(HOCH, plain).passed


@pytest.mark.parametrize(("name", "steps", "words"), HEAVY.values(), ids=HEAVY)
def test_heavy_proofs_are_refused_or_stopped(name, steps, words):
    check_refusal(name, [[parse(text), rule, None] for text, rule in steps], words)
