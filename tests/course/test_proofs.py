"""The LSTM's passthrough: right proofs in many orders pass, wrong ones fail at the step that is wrong."""

import subprocess
import sys

import pytest

from vglib.course.proofs import check, require

NAME = "lstm_passthrough"
CELL = ("c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]", "definition")
OUT = ("h[t] = o[t]*tanh(c[t])", "definition")
SUM = ("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t]) + h_bar[t]*d(h[t], c[t])", "chain rule")
KEEP = ("d(c[t+1], c[t]) = f[t+1]", "differentiate")
READ = ("d(h[t], c[t]) = o[t]*(1 - tanh(c[t])^2)", "differentiate")
ONE = ("f[t+1] = 1", "hypothesis")
SHUT = ("o[t] = 0", "hypothesis")
IDLE = ("i[t+1] = 0", "hypothesis")
CLAIM = ("c_bar[t] = c_bar[t+1]", "substitute")
EVAL = ("c_bar[t] = c_bar[t+1]*f[t+1] + h_bar[t]*o[t]*(1 - tanh(c[t])^2)", "substitute")

RIGHT = {
    "as the chapter does it": [
        *[CELL, OUT, SUM, KEEP, READ],
        (*EVAL, 3, 4, 5),
        ONE,
        SHUT,
        (*CLAIM, 6, 7, 8),
    ],
    "hypotheses first": [ONE, SHUT, SUM, KEEP, READ, EVAL, CLAIM],
    "no numbers": [CELL, OUT, SUM, KEEP, READ, EVAL, ONE, SHUT, CLAIM],
    "definitions not repeated": [SUM, KEEP, READ, ONE, SHUT, CLAIM],
    "with i, which is not needed": [CELL, OUT, SUM, KEEP, READ, IDLE, SHUT, ONE, CLAIM],
    "one hypothesis at a time": [
        *[SUM, KEEP, READ, EVAL, SHUT],
        ("c_bar[t] = c_bar[t+1]*f[t+1]", "substitute", 4, 5),
        ONE,
        ("c_bar[t] = c_bar[t+1]*1", "substitute", 6, 7),
        ("c_bar[t] = c_bar[t+1]", "algebra", 8),
    ],
    "the path through h closed first": [
        *[OUT, READ, SHUT],
        ("d(h[t], c[t]) = 0*(1 - tanh(c[t])^2)", "substitute", 2, 3),
        ("d(h[t], c[t]) = 0", "algebra", 4),
        *[SUM, KEEP, ONE],
        ("d(c[t+1], c[t]) = 1", "substitute", 7, 8),
        ("c_bar[t] = c_bar[t+1]*1 + h_bar[t]*0", "substitute", 6, 9, 5),
        ("c_bar[t+1] = c_bar[t]", "algebra", 10),
    ],
    "local derivatives written out at once": [
        ("c_bar[t] = f[t+1]*c_bar[t+1] + o[t]*(1 - tanh(c[t])^2)*h_bar[t]", "chain rule"),
        *[ONE, SHUT, CLAIM],
    ],
    "sides and factors the other way round": [
        ("d(h[t], c[t])*h_bar[t] + d(c[t+1], c[t])*c_bar[t+1] = c_bar[t]", "chain rule"),
        ("o[t] - o[t]*tanh(c[t])^2 = d(h[t], c[t])", "differentiate"),
        ("f[t+1] = d(c[t+1], c[t])", "differentiate"),
        ("1 = f[t+1]", "hypothesis"),
        ("0 = o[t]", "hypothesis"),
        ("c_bar[t+1] = c_bar[t]", "substitute"),
    ],
    "as a difference": [
        *[SUM, KEEP, READ, ONE, SHUT],
        ("c_bar[t] - c_bar[t+1] = (f[t+1] - 1)*c_bar[t+1] + h_bar[t]*d(h[t], c[t])", "substitute", 1, 2),
        ("c_bar[t] - c_bar[t+1] = 0", "substitute", 6, 4, 3, 5),
        ("c_bar[t] = c_bar[t+1]", "algebra", 7),
    ],
    "in mathematicians' signs": [
        ("c̄[t] = c̄[t+1]·d(c[t+1], c[t]) + h̄[t]·d(h[t], c[t])", "chain rule"),
        ("d(cₜ₊₁, cₜ) = fₜ₊₁", "differentiate"),
        ("d(h[t], c[t]) = o[t] × (1 − tanh(c[t])²)", "differentiate"),
        *[ONE, SHUT],
        ("c̄ₜ = c̄ₜ₊₁", "substitute"),
    ],
    "with the value carried too": [
        *[CELL, ONE, IDLE],
        ("c[t+1] = c[t]", "substitute", 1, 2, 3),
        *[SUM, KEEP, READ, SHUT, CLAIM],
    ],
    "a harmless identity in between": [SUM, ("0 = 0", "algebra"), KEEP, READ, ONE, SHUT, CLAIM],
    "steps that are not needed": [SUM, ("f[t+1]^2 = f[t+1]*f[t+1]", "algebra"), KEEP, READ, ONE, SHUT, CLAIM],
    "the hypotheses put into the derivatives at once": [
        *[ONE, SHUT, ("d(c[t+1], c[t]) = 1", "differentiate", 1), ("d(h[t], c[t]) = 0", "differentiate", 2)],
        *[SUM, ("c_bar[t] = c_bar[t+1]*1 + h_bar[t]*0", "substitute", 3, 4, 5), (*CLAIM[:1], "algebra", 6)],
    ],
    "a step earlier, too": [
        ("c_bar[t-1] = c_bar[t]*f[t] + h_bar[t-1]*o[t-1]*(1 - tanh(c[t-1])^2)", "chain rule"),
        *[SUM, KEEP, READ, ONE, SHUT, CLAIM],
    ],
    "tanh factorised, o = 0 at the end": [
        *[SUM, KEEP, ("d(h[t], c[t]) = o[t]*(1 - tanh(c[t]))*(1 + tanh(c[t]))", "differentiate"), ONE],
        ("c_bar[t] - c_bar[t+1] = h_bar[t]*o[t]*(1 - tanh(c[t]))*(1 + tanh(c[t]))", "substitute", 1, 2, 3, 4),
        *[SHUT, ("c_bar[t] - c_bar[t+1] = 0", "substitute", 5, 6), (*CLAIM[:1], "algebra", 7)],
    ],
    "with LaTeX's braces": [
        ("c_bar_{t} = c_bar_{t+1}*f_{t+1} + h_bar_{t}*o_{t}*(1 - tanh(c_{t})^2)", "chain rule"),
        *[("f_{t+1} = 1.0", "hypothesis"), ("o_{t} = 0", "hypothesis"), ("c̄_{t} = c̄_{t+1}", "substitute")],
    ],
    "a zero product": [
        *[SUM, KEEP, READ, ONE, SHUT],
        ("o[t]*(1 - tanh(c[t])^2) = 0", "substitute", 5),
        ("c_bar[t] = c_bar[t+1]", "substitute", 1, 2, 3, 4, 6),
    ],
}

# For each wrong proof: the step that is wrong (0: the proof as a whole), and words of the message.
WRONG = {
    "empty": ([], 0, "it is empty"),
    "only the claim, as algebra": ([("c_bar[t] = c_bar[t+1]", "algebra")], 1, "left minus right leaves"),
    "only the claim, as a hypothesis": (
        [("c_bar[t] = c_bar[t+1]", "hypothesis")],
        1,
        "that is the claim itself",
    ),
    "only the claim, as a definition": ([("c_bar[t] = c_bar[t+1]", "definition")], 1, "cannot be assumed"),
    "only the claim, by the chain rule": (
        [("c_bar[t] = c_bar[t+1]", "chain rule")],
        1,
        "Missing: h_bar[t]*d(h[t], c[t])",
    ),
    "no path through h": (
        [("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t])", "chain rule"), KEEP, ONE, CLAIM],
        1,
        "c[t] is read by c[t+1] and h[t], so the sum has two terms. Missing: h_bar[t]*d(h[t], c[t])",
    ),
    "no path through c": ([("c_bar[t] = h_bar[t]*d(h[t], c[t])", "chain rule")], 1, "Missing: c_bar[t+1]*d("),
    "a path through a gate counted twice": (
        [
            (
                "c_bar[t] = c_bar[t+1]*d(c[t+1], c[t]) + h_bar[t]*d(h[t], c[t]) + i_bar[t+1]*d(i[t+1], c[t])",
                "chain rule",
            )
        ],
        1,
        "i_bar[t+1] does not belong there. The gates at t+1 read h[t], not c[t]",
    ),
    "h a step too late": (
        [("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t]) + h_bar[t+1]*d(h[t+1], c[t])", "chain rule")],
        1,
        "h_bar[t+1] does not belong there",
    ),
    "a derivative upside down": (
        [("c_bar[t] = c_bar[t+1]*d(c[t], c[t+1]) + h_bar[t]*d(h[t], c[t])", "chain rule")],
        1,
        "the wrong way round",
    ),
    "a minus in the sum": (
        [("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t]) - h_bar[t]*d(h[t], c[t])", "chain rule")],
        1,
        "left minus right leaves",
    ),
    "factors at the wrong readers": (
        [("c_bar[t] = h_bar[t]*d(c[t+1], c[t]) + c_bar[t+1]*d(h[t], c[t])", "chain rule")],
        1,
        "it should say c_bar[t] = ",
    ),
    "the derivative of tanh forgotten": (
        [SUM, ("d(h[t], c[t]) = o[t]", "differentiate")],
        2,
        "the derivative of h[t] by c[t] is o[t]*(1 - tanh(c[t])^2), not o[t]",
    ),
    "the derivative of tanh without its square": (
        [SUM, ("d(h[t], c[t]) = o[t]*(1 - tanh(c[t]))", "differentiate")],
        2,
        "with all else held fixed",
    ),
    "the derivative of the wrong factor": (
        [SUM, ("d(c[t+1], c[t]) = c[t]", "differentiate")],
        2,
        "is f[t+1], not c[t]",
    ),
    "the gates not held fixed": (
        [SUM, ("d(c[t+1], c[t]) = f[t+1] + d(i[t+1], c[t])*g[t+1]", "differentiate")],
        2,
        "is f[t+1], not",
    ),
    "a derivative by what does not stand there": (
        [("d(c[t+1], h[t]) = 0", "differentiate")],
        1,
        "h[t] does not stand in the definition",
    ),
    "nothing to differentiate": (
        [("d(g[t+1], c[t]) = 0", "differentiate")],
        1,
        "there is no definition of g[t+1]",
    ),
    "a hypothesis differentiated": (
        [ONE, ("d(f[t+1], c[t]) = 0", "differentiate")],
        2,
        "says what f[t+1] is, not how it changes",
    ),
    "an equation at one point differentiated": (
        [
            CELL,
            ONE,
            IDLE,
            ("c[t+1] = c[t]", "substitute"),
            ("d(c[t+1], c[t]) = 2 - 1 + i[t+1]", "differentiate", 4),
        ],
        5,
        "is f[t+1], not",
    ),
    "o = 0 used in silence": (
        [SUM, KEEP, READ, EVAL, ONE, (*CLAIM, 4, 5)],
        6,
        "It needs the hypothesis o[t] = 0: state it as a step",
    ),
    "f = 1 used in silence": ([SUM, KEEP, READ, EVAL, SHUT, CLAIM], 6, "It needs the hypothesis f[t+1] = 1"),
    "o = 0 stated but its number not given": (
        [SUM, KEEP, READ, EVAL, ONE, SHUT, (*CLAIM, 4, 5)],
        7,
        "It needs step 6 (o[t] = 0) as well",
    ),
    "both used in silence": (
        [SUM, KEEP, READ, EVAL, CLAIM],
        5,
        "state it as a step before this one. It needs the hypothesis o[t] = 0",
    ),
    "i = 0 instead of o = 0": (
        [SUM, KEEP, READ, EVAL, ONE, IDLE, CLAIM],
        7,
        "It needs the hypothesis o[t] = 0",
    ),
    "the wrong gate is shut": (
        [SUM, KEEP, READ, ("o[t+1] = 0", "hypothesis")],
        4,
        "nothing of the kind is given",
    ),
    "the forget gate of another step": ([SUM, ("f[t] = 1", "hypothesis")], 2, "nothing of the kind is given"),
    "a hypothesis of one's own": ([SUM, ("h_bar[t] = 0", "hypothesis")], 2, "nothing of the kind is given"),
    "a hypothesis in disguise": ([("o[t] = 1 - 1", "algebra")], 1, "its rule; hypothesis is"),
    "a hypothesis called a definition": (
        [("f[t+1] = 1", "definition")],
        1,
        "definition is not its rule; hypothesis is",
    ),
    "a definition called a hypothesis": (
        [(*CELL[:1], "hypothesis")],
        1,
        "hypothesis is not its rule; definition is",
    ),
    "a definition with a wrong index": (
        [("c[t+1] = f[t]*c[t] + i[t+1]*g[t+1]", "definition")],
        1,
        "is not what it says. The definition is c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]",
    ),
    "a definition with indices swapped": (
        [("c[t] = f[t+1]*c[t+1] + i[t+1]*g[t+1]", "definition")],
        1,
        "is not what it says. The definition is c[t] = f[t]*c[t-1] + i[t]*g[t]",
    ),
    "h without its gate": (
        [("h[t] = tanh(c[t])", "definition")],
        1,
        "is not what it says. The definition is h[t] = o[t]*tanh(c[t])",
    ),
    "0 = 0 and then the claim": (
        [("0 = 0", "algebra"), ("c_bar[t] = c_bar[t+1]", "substitute", 1)],
        2,
        "left minus right leaves",
    ),
    "0 = 0 multiplied up": (
        [("0*c_bar[t] = 0*c_bar[t+1]", "algebra"), ("c_bar[t] = c_bar[t+1]", "algebra", 1)],
        2,
        "left minus right leaves c_bar[t] - c_bar[t+1]",
    ),
    "a division by zero": (
        [
            SHUT,
            ("o[t]*c_bar[t] = o[t]*c_bar[t+1]", "substitute", 1),
            ("c_bar[t]*o[t]/o[t] = c_bar[t+1]", "algebra", 2),
        ],
        3,
        "it divides by o[t], and no earlier step says that o[t] is not 0",
    ),
    "a plain division by zero": ([("c_bar[t]/0 = c_bar[t+1]/0", "algebra")], 1, "it divides by 0"),
    "a factor cancelled that is 0": (
        [SHUT, ("o[t]*c_bar[t] = o[t]*c_bar[t+1]", "substitute", 1), ("c_bar[t] = c_bar[t+1]", "algebra", 2)],
        3,
        "left minus right leaves",
    ),
    "a factor cancelled that may be 0": (
        [("h_bar[t]*(c_bar[t] - c_bar[t+1]) = h_bar[t]*(c_bar[t] - c_bar[t+1])", "algebra"), CLAIM],
        2,
        "left minus right leaves",
    ),
    "square roots of squares": (
        [("(c_bar[t] - c_bar[t+1])^2 = (c_bar[t+1] - c_bar[t])^2", "algebra"), CLAIM],
        2,
        "left minus right leaves",
    ),
    "a contradiction to start with": ([("1 = 0", "algebra"), CLAIM], 1, "left minus right leaves 1"),
    "two values for one gate": (
        [ONE, ("f[t+1] = 0", "hypothesis"), ("1 = 0", "substitute"), CLAIM],
        2,
        "that is not what it says. The hypothesis is f[t+1] = 1",
    ),
    "it cites itself": ([SUM, (*CLAIM, 2)], 2, "it uses itself"),
    "it cites a later step": ([(*CLAIM, 2), SUM], 1, "it uses step 2; nothing comes before it"),
    "a circle of two": (
        [("c_bar[t] - c_bar[t+1] = 0", "algebra"), ("c_bar[t] = c_bar[t+1]", "algebra", 1)],
        1,
        "left minus right leaves",
    ),
    "it stops too early": ([CELL, OUT, SUM, KEEP, READ, ONE, SHUT], 0, "none of them is the claim"),
    "it goes on too long": ([SUM, KEEP, READ, ONE, SHUT, CLAIM, CELL], 0, "the last one is not the claim"),
    "another claim": (
        [SUM, KEEP, READ, SHUT, ("c_bar[t] = c_bar[t+1]*f[t+1]", "substitute")],
        0,
        "none of them is the claim c_bar[t] = c_bar[t+1]",
    ),
    "a near miss in numbers": (
        [SUM, KEEP, READ, EVAL, ONE, SHUT, ("c_bar[t] = 0.999999*c_bar[t+1]", "substitute")],
        7,
        "left minus right leaves",
    ),
    "a value put in because it is small": (
        [SUM, KEEP, READ, EVAL, ONE, ("h_bar[t]*o[t] = 0", "algebra"), CLAIM],
        6,
        "It needs the hypothesis o[t] = 0",
    ),
    "the value carried, not the gradient": (
        [CELL, ONE, IDLE, ("c[t+1] = c[t]", "substitute"), ("c_bar[t+1] = c_bar[t]", "substitute", 4)],
        5,
        "left minus right leaves",
    ),
    "the chain rule for h": (
        [("h_bar[t] = c_bar[t+1]*d(c[t+1], h[t])", "chain rule")],
        1,
        "what reads h[t] is not listed",
    ),
    "a sum with nothing alone": ([("2*c_bar[t] = 2*c_bar[t+1]", "chain rule")], 1, "has to stand alone"),
    "h[t] = 0 differentiated": (
        [SHUT, OUT, ("h[t] = 0", "substitute"), ("d(h[t], c[t]) = 0", "differentiate", 3)],
        4,
        "not 0. It needs step 1 (o[t] = 0) as well: add its number.",
    ),
    "a hypothesis put into a derivative in silence": (
        [("d(c[t+1], c[t]) = 1", "differentiate")],
        1,
        "is f[t+1], not 1. It needs the hypothesis f[t+1] = 1: state it",
    ),
    "a derivative of itself": ([("d(c[t], c[t]) = 0", "differentiate")], 1, "of c[t] by c[t] is 1, not 0"),
    "something put into a derivative": (
        [CELL, ONE, IDLE, ("c[t+1] = c[t]", "substitute"), ("d(c[t+1], c[t]) = d(c[t], c[t])", "substitute")],
        5,
        "differentiate is",
    ),
    "a divisor in a definition says nothing": (
        [("h[t] = o[t]*tanh(c[t])*o[t]/o[t]", "definition"), ("o[t] != 0", "algebra")],
        2,
        "o[t] may be 0",
    ),
    "two inequalities make an equation": (
        [("c_bar[t] >= c_bar[t+1]", "algebra"), ("c_bar[t+1] >= c_bar[t]", "algebra"), CLAIM],
        1,
        "c_bar[t] - c_bar[t+1] may be negative",
    ),
    "a difference too small for floats": (
        [SUM, KEEP, READ, ONE, SHUT, ("c_bar[t] = c_bar[t+1] + c[t]/(1000000^6)", "substitute")],
        6,
        "left minus right leaves",
    ),
    "two letters run together": ([("fc[t] = 1", "algebra")], 1, "a product needs its `*`: f*c."),
    "a function without brackets": (
        [("tanh^2*(c[t]) = 1", "algebra")],
        1,
        "its brackets come first: tanh(…)",
    ),
    "an unknown rule": ([(*SUM[:1], "chainrule")], 1, "did you mean chain rule?"),
    "a rule of another theorem": ([("c_bar[t] = c_bar[t+1]", "norm")], 1, "not among those of this theorem"),
    "an unknown symbol": ([("c_baar[t] = c_bar[t+1]", "algebra")], 1, "did you mean c_bar[t]?"),
    "a symbol without its step": ([("c_bar = c_bar[t+1]", "algebra")], 1, "c_bar needs its step"),
    "c_t": ([("c_t = c[t]", "algebra")], 1, "unknown symbol c_t; did you mean c[t]?"),
    "dc/dc": ([("dc[t+1]/dc[t] = 1", "algebra")], 1, "a local derivative is written d(y, x)"),
    "no such letter": ([("L = 1", "algebra")], 1, "known are c, h, f, i, g, o, c_bar, h_bar."),
    "c_bar_t": ([("c_bar_t = 1", "algebra")], 1, "did you mean c_bar[t]?"),
    "far away": ([("c[t+3] = c[t+3]", "algebra")], 1, "only steps t-2 to t+2 are allowed"),
    "an unknown function": (
        [("tan(c[t]) = tan(c[t])", "algebra")],
        1,
        "unknown function tan; did you mean tanh?",
    ),
    "a function of nothing": (
        [("d(c[t]) = 1", "differentiate")],
        1,
        "d takes 2, not 1: d(y, x) is the local derivative of y by x",
    ),
    "a symbol called": ([("f(c[t]) = 1", "algebra")], 1, "f is no function"),
    "substituting into nothing": ([("c_bar[t] = c_bar[t+1]", "substitute")], 1, "and there is none"),
    "an identity called a substitution": ([("c[t] = c[t]", "substitute")], 1, "is not its rule; algebra is"),
}


@pytest.mark.parametrize("steps", RIGHT.values(), ids=RIGHT)
def test_right_proofs_pass(steps):
    report = check(NAME, steps)
    assert report.passed, str(report)
    assert all(step.right for step in report.steps)
    assert str(report).endswith("The proof is right.")
    assert require(NAME, steps) == report


@pytest.mark.parametrize(("steps", "number", "words"), WRONG.values(), ids=WRONG)
def test_wrong_proofs_fail_where_they_are_wrong(steps, number, words):
    report = check(NAME, steps)
    assert not report.passed
    assert words in report.message
    assert report.message.startswith(
        f"step {number}," if number and report.steps else ("step", "the proof", "all")
    )
    if report.steps and number:
        first = next(step for step in report.steps if not step.right)
        assert (first.number, first.right) == (number, False)
    with pytest.raises(AssertionError) as error:
        require(NAME, steps)
    assert str(error.value) == report.message


def test_what_hangs_on_a_wrong_step_is_left_open():
    steps = [("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t])", "chain rule"), KEEP, ONE, (*CLAIM, 1, 2, 3)]
    report = check(NAME, steps)
    assert [step.right for step in report.steps] == [False, True, True, None]
    assert "it uses step 1, which is wrong" in report.steps[3].why
    assert str(report).splitlines()[0].startswith("  1 ✗ ")


def test_the_same_report_each_time():
    assert str(check(NAME, RIGHT["hypotheses first"])) == str(check(NAME, RIGHT["hypotheses first"]))


def test_no_such_theorem():
    for call in (check, require):
        with pytest.raises(ValueError, match=r"theorem must be one of 'lstm_passthrough', .*; got 'lstm'"):
            call("lstm", [])


def test_importing_does_not_load_sympy():
    code = (
        "import sys; from vglib.course.proofs import check, statement; statement('lstm_passthrough')\n"
        "assert not {'sympy', 'torch', 'matplotlib'} & set(sys.modules); check('lstm_passthrough', [])\n"
        "assert 'sympy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_without_sympy(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("vglib.course.proofs.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(ImportError, match=r'a proof is checked with SymPy: pip install "vglib\[proofs\]"'):
        check(NAME, [CELL])
