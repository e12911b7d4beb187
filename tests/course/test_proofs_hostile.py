"""The checker takes nothing but plain trees, trusts none of them, and lets no broken proof through."""

import copy
import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vglib.course.proofs import THEOREMS, check, read
from vglib.course.proofs.checker import judge
from vglib.course.proofs.trees import check_tree
from vglib.course.proofs.worlds import agrees, draw

PROOFS = {
    "lstm_passthrough": [
        ("c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]", "definition"),
        ("h[t] = o[t]*tanh(c[t])", "definition"),
        ("c_bar[t] = c_bar[t+1]*d(c[t+1], c[t]) + h_bar[t]*d(h[t], c[t])", "chain rule"),
        ("d(c[t+1], c[t]) = f[t+1]", "differentiate"),
        ("d(h[t], c[t]) = o[t]*(1 - tanh(c[t])^2)", "differentiate"),
        ("f[t+1] = 1", "hypothesis"),
        ("o[t] = 0", "hypothesis"),
        ("c_bar[t] = c_bar[t+1]", "substitute"),
    ],
    "gru_path": [
        (
            "h_bar[t] = h_bar[t+1]*d(h[t+1], h[t]) + z_bar[t+1]*d(z[t+1], h[t]) + r_bar[t+1]*d(r[t+1], h[t])"
            " + n_bar[t+1]*d(n[t+1], h[t]) + y_bar[t]*d(y[t], h[t])",
            "chain rule",
        ),
        ("z[t+1] = 1", "hypothesis"),
        ("d(h[t+1], h[t]) = z[t+1]", "differentiate"),
        ("d(y[t], h[t]) = 1", "differentiate"),
        ("d(z[t+1], h[t]) = z[t+1]*(1 - z[t+1])*u_z", "differentiate"),
        ("n_bar[t+1] = h_bar[t+1]*(1 - z[t+1])", "chain rule"),
        ("r_bar[t+1] = n_bar[t+1]*d(n[t+1], r[t+1])", "chain rule"),
        ("h_bar[t] = h_bar[t+1] + y_bar[t]", "substitute"),
    ],
    "orthogonal_norm": [
        ("norm(Q*x)^2 = (Q*x).T*(Q*x)", "norm"),
        ("Q.T*Q = I", "hypothesis"),
        ("norm(x)^2 = x.T*x", "norm"),
        ("norm(Q*x)^2 = norm(x)^2", "substitute"),
        ("norm(Q*x) = norm(x)", "square root"),
    ],
    "clipping_direction": [
        ("g != 0", "hypothesis"),
        ("eta > 0", "hypothesis"),
        ("a = min(1, eta/norm(g))", "definition"),
        ("a > 0", "sign"),
        ("g_new = a*g", "definition"),
        ("norm(g_new) = abs(a)*norm(g)", "norm"),
        ("abs(a) = a", "absolute value"),
        ("g_new/norm(g_new) = g/norm(g)", "substitute"),
    ],
    "residual_identity": [
        ("y = x + F(x)", "definition"),
        ("F(x) = 0", "hypothesis"),
        ("y = x", "substitute"),
        ("x_bar = y_bar*d(y, x)", "chain rule"),
        ("d(y, x) = I + d(F(x), x)", "differentiate"),
        ("d(F(x), x) = 0", "differentiate"),
        ("x_bar = y_bar", "substitute"),
    ],
    "hochreiter_bound": [
        ("norm(e[0]) <= b^0*norm(e[0])", "algebra"),
        ("norm(e[q]) <= b^q*norm(e[0])", "induction hypothesis"),
        ("e[q+1] = W.T*diag(s[q])*e[q]", "definition"),
        ("norm(e[q+1]) <= norm(W)*largest(s[q])*norm(e[q])", "norm inequality"),
        ("largest(s[q]) <= gamma", "hypothesis"),
        ("gamma >= 0", "monotone"),
        ("b = norm(W)*gamma", "definition"),
        ("norm(e[q+1]) <= b^(q+1)*norm(e[0])", "monotone"),
        ("norm(e[q]) <= b^q*norm(e[0])", "induction"),
    ],
}
NEEDED = {
    "lstm_passthrough": {0, 1},
    "gru_path": {0},
    "orthogonal_norm": {0},
    "clipping_direction": {0, 1},
    "residual_identity": {0},
    "hochreiter_bound": {0},
}
LOOP: list = ["+"]
LOOP += [LOOP, LOOP]
DEEP: list = ["symbol", "c"]
for _ in range(100_000):
    DEEP = ["neg", DEEP]
WIDE: list = ["at", "c", 0]
for _ in range(40):
    WIDE = ["+", WIDE, WIDE]


class Sly(list):
    """A list that answers as it likes."""

    def __len__(self):
        return 3

    def __eq__(self, other):
        return True

    __hash__ = None


class Fiend:
    """Whatever it is asked, it raises."""

    def _refuse(self, *_):
        raise RuntimeError

    __repr__ = __str__ = __eq__ = __len__ = __iter__ = __getitem__ = __index__ = __bool__ = _refuse
    __hash__ = None


class Endless(list):
    """A list that never ends."""

    def __iter__(self):
        return itertools.repeat(1)


class Text(str):
    """A text that becomes another one."""

    def __str__(self):
        raise RuntimeError

    lower = replace = __len__ = __str__


class Whole(int):
    """A number that is every number."""

    def __eq__(self, other):
        return True

    __le__ = __ge__ = __eq__
    __hash__ = int.__hash__


FALSE = [[["=", 1, 2], "algebra", None]] * 2
NO_TREES = [
    None,
    1,
    "c = c",
    [],
    ["="],
    ["=", 1],
    ["=", 1, 2, 3],
    [["="], 1, 1],
    ("=", 1, 1),
    ["==", 1, 1],
    ["=", 1.0, 1],
    ["=", True, 1],
    ["=", 1, None],
    ["=", "c", 1],
    ["=", ["symbol"], 1],
    ["=", ["symbol", 3], 1],
    ["=", [], 1],
    ["=", ["symbol", "__class__"], 1],
    ["=", ["symbol", "a b"], 1],
    ["=", ["symbol", "a" * 99], 1],
    ["=", ["at", "c", "t"], 1],
    ["=", ["at", "c", 10**9], 1],
    ["=", ["at", "c", True], 1],
    ["=", ["eval", "1"], 1],
    ["=", ["call", "norm"], 1],
    ["=", ["call", 3, 1], 1],
    ["=", ["call", "f()", 1], 1],
    ["=", ["^", 2, 9**9], 1],
    ["=", ["^", 2, ["symbol", "a"]], 1],
    ["=", ["^", 2, 0.5], 1],
    ["=", 10**100, 1],
    ["=", ["=", 1, 1], 1],
    ["=", LOOP, 1],
    ["=", DEEP, 1],
    ["=", WIDE, 1],
    ["=", {"symbol": "a"}, 1],
    Sly(),
    ["=", Sly(), 1],
]


@pytest.mark.parametrize("tree", NO_TREES, ids=[str(i) for i in range(len(NO_TREES))])
def test_what_is_no_tree_is_refused(tree):
    with pytest.raises(ValueError, match=r"must|may|unknown|needs|takes|too long"):
        check_tree(tree)
    report = judge("lstm_passthrough", [[tree, "algebra", None]])
    assert not report.passed


@pytest.mark.parametrize(
    "steps",
    [
        None, 3, "proof", [], (), [None], [[]], [["=", 1, 1]], [[["=", 1, 1]]], [[["=", 1, 1], 3, None]],
        [[["=", 1, 1], "algebra", "all"]], [[["=", 1, 1], "algebra", [1]]], [[["=", 1, 1], "algebra", [0]]],
        [[["=", 1, 1], "algebra", [-1]]], [[["=", 1, 1], "algebra", [True]]],
        [[["=", 1, 1], "a" * 10**6, None]],
        [[["=", 1, 1], "algebra", list(range(10**5))]], [[["=", 1, 1], "algebra", None]] * 1000,
        [Sly()], Sly(), [[["=", 1, 1], "algebra", {}]], [{0: 1}],
        [[["=", 1, 1], "algebra", [10**6000]]], [*FALSE, [["=", 1, 1], "algebra", Endless()]],
        [*FALSE, {2: Endless()}], [*FALSE, Endless()], [[Fiend(), Fiend(), Fiend()]],
    ],
)  # fmt: skip
def test_what_is_no_list_of_steps_is_refused(steps):
    report = judge("lstm_passthrough", steps)
    assert not report.passed
    assert report.message
    str(report)


@pytest.mark.parametrize(
    "steps",
    [
        Fiend(), [Fiend()], Endless(), [Endless()], [("0 = 0", "algebra", Endless())], Sly(), [Sly()],
        [(Text("0 = 0"), "algebra")], [("0 = 0", Text("algebra"))], [("0 = 0", "algebra", Fiend())],
        [("0 = 0", "algebra"), ("0 = 0", "algebra", Whole(1))], [("0 = 0", "algebra", 10**6000)],
        [("0 = 0", "algebra", -(10**6000))], [("\ud800 = 0", "algebra")], [("0 = 0", "\ud800")],
        [("0 = 0", "algebra"), ("0 = 0", "algebra", *[1] * 10**5)], [("0 = 0", "algebra" * 10**6)],
        [("0 = " + "0" * 10**7, "algebra")], (step for step in ()), {("0 = 0", "algebra")},
    ],
)  # fmt: skip
def test_objects_that_answer_as_they_like_are_not_asked(steps):
    started = time.process_time()
    report = check("lstm_passthrough", steps)
    assert not report.passed
    str(report).encode()
    assert time.process_time() - started < 1


HEAVY = [
    "(((c[t]+1)^6+h[t])^6+f[t])^6 = 1",
    "(c[t]+h[t]+f[t]+g[t]+i[t]+o[t]+c[t+1]+h[t+1]+f[t+1]+g[t+1])^6 = 0",
    "1/(1/(1/(c[t]+h[t])+f[t])+g[t]) = 1/(1/(1/(c[t+1]+h[t+1])+f[t+1])+g[t+1])",
    "tanh(tanh(tanh((c[t]+h[t])^6)^6)^6) = 1",
    "(999999^6)^6 = (999998^6)^6",
    "(((999999^6)^6)^6)^6 = 1",
    "tanh(999999)^6 = 1",
    "abs(abs(abs(c[t] - h[t]) - f[t]) - g[t]) = min(min(c[t], h[t]), min(f[t], g[t]))",
    "d(d(c[t+1], c[t]), c[t]) = 0",
    "d(c[t+1]*c[t], c[t]) = 0",
    "d(c[t+1], c[t]*c[t]) = 0",
    "1/(c[t] - c[t]) = 1",
    "(c[t] - c[t])^-1 = 1",
    "0^0 = 1",
    "0/0 = 1",
    "norm(c[t]) = 1",
    "I = 1",
    "c[t].T = c[t]",
]


@pytest.mark.parametrize("text", HEAVY)
@pytest.mark.parametrize("rule", ["algebra", "definition", "chain rule", "differentiate"])
def test_work_is_bounded(text, rule):
    started = time.process_time()
    check("lstm_passthrough", [*PROOFS["lstm_passthrough"], (text, rule), (text, "substitute")])
    assert time.process_time() - started < 2


CLIPPING = [
    ("g != 0", "hypothesis"),
    ("eta > 0", "hypothesis"),
    ("a = min(1, eta/norm(g))", "definition"),
    ("a > 0", "sign"),
    ("g_new = a*g", "definition"),
]
LONG = {  # each with steps of its own for k = 1, 2, …, all of them right, or all wrong
    "sizes": (
        "clipping_direction",
        CLIPPING,
        "absolute value",
        "abs(a + {k})*abs(eta + {k})*abs(a + eta + {k}) = (a + {k})*(eta + {k})*(a + eta + {k})",
    ),
    "norms": (
        "clipping_direction",
        [],
        "norm",
        "norm(g_new + {k}*g)^2*norm(g) = (g_new + {k}*g).T*(g_new + {k}*g)*norm(g)",
    ),
    "sums of norms": (
        "clipping_direction",
        CLIPPING,
        "norm",
        "norm({k}*g + g_new)*norm(a*g + 2*g_new) + norm({k}*g + 2*g_new)*norm(g + a*g_new) = 1",
    ),
    "fractions": (
        "orthogonal_norm",
        [("Q.T*Q = I", "hypothesis")],
        "norm",
        "1/(norm({k}*x + Q.T*Q*x) + 1) + 1/(norm({k}*x + 2*Q.T*Q*x) + {k}) + 1/(norm(x) + {k}) = 1",
    ),
    "cubes": ("lstm_passthrough", PROOFS["lstm_passthrough"], "algebra", "(c[t+1] + {k}*h[t])^3 = {k}"),
    "tanh": (
        "lstm_passthrough",
        PROOFS["lstm_passthrough"],
        "algebra",
        "tanh(c[t+1] + tanh(h[t] + tanh(c[t] + tanh(h[t+1])))) = tanh(tanh(c[t+2]))",
    ),
}


@pytest.mark.parametrize(("name", "steps", "rule", "text"), LONG.values(), ids=LONG)
def test_long_proofs_are_bounded(name, steps, rule, text):
    more = [(text.replace("{k}", str(k)), rule) for k in range(1, 41 - len(steps))]
    started = time.process_time()
    assert not check(name, steps + more).passed
    assert time.process_time() - started < 3


def test_what_follows_many_wrong_steps_is_not_looked_at():
    report = check("lstm_passthrough", [("0 = 1", "algebra")] * 12)
    assert [step.right for step in report.steps[6:]] == [None] * 6
    assert "not been looked at" in report.steps[-1].why


def test_a_proof_that_is_too_much_work_says_what_to_do():
    text = LONG["sizes"][3]
    steps = CLIPPING + [(text.replace("{k}", str(k)), "absolute value") for k in range(1, 36)]
    message = check("clipping_direction", steps).message
    assert "too much work to check; say which steps it uses, by their numbers" in message


def test_many_heavy_steps_are_bounded():
    letters = [f"{name}[t{step}]" for name in "chfgio" for step in ("", "+1", "-1")]
    steps = [
        (f"{a}*{b} + {b}*{c} = {c}*{a}", "algebra")
        for a, b, c in zip(letters, letters[1:], letters[2:], strict=False)
    ]
    started = time.process_time()
    assert not check("lstm_passthrough", steps * 2).passed
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("name", "steps"), PROOFS.items())
def test_a_right_proof_takes_less_than_a_second(name, steps):
    check(name, steps)
    started = time.process_time()
    assert check(name, steps).passed
    assert time.process_time() - started < 1


@pytest.mark.parametrize(("name", "steps"), PROOFS.items())
def test_nothing_needed_can_be_left_out(name, steps):
    for place, step in enumerate(steps):
        left = steps[:place] + steps[place + 1 :]
        report = check(name, left)
        if step[1] == "hypothesis" and not report.passed:
            assert step[0] in report.message or "divides" in report.message
        needed = (
            step[1] in ("hypothesis", "chain rule", "differentiate", "square root", "norm inequality")
            or name == "hochreiter_bound"
            or place == len(steps) - 1
        )
        assert not (needed and report.passed), step


@pytest.mark.parametrize("name", PROOFS)
def test_random_worlds_know_a_false_step(name):
    """The second opinion is one: without its hypotheses the claim is false there."""
    rng = np.random.default_rng(0)
    for claim in THEOREMS[name].claims:
        assert all(agrees(claim.tree, draw(name, NEEDED[name], rng)) for _ in range(5))
        found = [agrees(claim.tree, draw(name, set(), rng)) for _ in range(20)]
        # Whatever the slopes are, at q = 0 the bound holds.
        assert name == "clipping_direction" or not (all if name == "hochreiter_bound" else any)(found)
    for definition in THEOREMS[name].definitions:
        assert all(agrees(definition.tree, draw(name, set(), rng)) for _ in range(5))
    for text, _ in PROOFS[name]:
        assert all(agrees(read([(text, "x")])[0][0], draw(name, NEEDED[name], rng)) for _ in range(5)), text


def places(tree, path=()):
    """Yield the paths of all nodes."""
    yield path
    if type(tree) is list:
        for index, item in enumerate(tree):
            if index and type(item) is not str:
                yield from places(item, (*path, index))


def put(tree, path, new):
    """Return a copy with one node replaced."""
    if not path:
        return new
    made = copy.deepcopy(tree)
    place = made
    for index in path[:-1]:
        place = place[index]
    place[path[-1]] = new
    return made


def true_in_all_worlds(name, tree):
    rng = np.random.default_rng(7)
    return all(agrees(tree, draw(name, NEEDED[name], rng)) for _ in range(6))


@settings(max_examples=150)
@given(st.data())
def test_a_changed_step_never_passes_unless_it_is_true(data):
    name = data.draw(st.sampled_from(sorted(PROOFS)))
    proof = read(PROOFS[name])
    number = data.draw(st.integers(0, len(proof) - 1))
    tree = proof[number][0]
    path = data.draw(st.sampled_from([path for path in places(tree) if path]))
    others = [item for step in proof for path in places(step[0]) if path for item in [_at(step[0], path)]]
    new = data.draw(st.sampled_from(others) | st.integers(-2, 2))
    proof[number][0] = put(tree, path, new)
    report = judge(name, proof)
    if report.steps[number].right and proof[number][1] not in ("definition", "hypothesis"):
        assert true_in_all_worlds(name, proof[number][0]), report
    if report.passed:
        assert all(step.right for step in report.steps)


def _at(tree, path):
    for index in path:
        tree = tree[index]
    return tree


ATOMS = {
    "lstm_passthrough": [["at", n, k] for n in ("c", "h", "f", "o", "c_bar", "h_bar") for k in (0, 1)]
    + [["call", "d", ["at", "c", 1], ["at", "c", 0]], ["call", "d", ["at", "h", 0], ["at", "c", 0]]],
    "gru_path": [["at", n, k] for n in ("h", "z", "n", "r", "h_bar", "n_bar", "y_bar") for k in (0, 1)]
    + [["call", "d", ["at", n, 1], ["at", "h", 0]] for n in "hzrn"],
    "orthogonal_norm": [["symbol", n] for n in ("Q", "x", "I")],
    "clipping_direction": [["symbol", n] for n in ("g", "g_new", "a", "eta")],
    "residual_identity": [["symbol", n] for n in ("x", "y", "x_bar", "y_bar", "I")]
    + [["call", "F", ["symbol", "x"]], ["call", "d", ["symbol", "y"], ["symbol", "x"]]],
    "hochreiter_bound": [["symbol", n] for n in ("W", "m", "gamma")]
    + [
        ["start", "e"],
        ["step", "e", 0],
        ["step", "e", 1],
        ["step", "s", 0],
        ["raise", ["symbol", "gamma"], 1],
    ]
    + [["call", "norm", ["step", "e", k]] for k in (0, 1)]
    + [["call", "norm", x] for x in (["symbol", "W"], ["start", "e"])]
    + [["call", name, ["step", "s", 0]] for name in ("largest", "diag")],
}


CALLS = ["norm", "abs", "tanh", "sigma", "sqrt", "F", "diag", "largest"]


def trees(name):
    """Random expressions in a theorem's letters; most of them have no meaning."""
    return st.recursive(
        st.integers(-2, 2) | st.sampled_from(ATOMS[name]),
        lambda inner: (
            st.tuples(st.sampled_from("+-*/"), inner, inner).map(list)
            | st.tuples(st.just("^"), inner, st.integers(-3, 3)).map(list)
            | st.tuples(st.just("raise"), inner, st.integers(0, 2)).map(list)
            | st.tuples(st.sampled_from(["neg", "T"]), inner).map(list)
            | st.tuples(st.just("call"), st.sampled_from(CALLS), inner).map(list)
            | st.tuples(st.just("call"), st.sampled_from(["min", "d"]), inner, inner).map(list)
        ),
        max_leaves=6,
    )


@settings(max_examples=150)
@given(st.data())
def test_random_steps_pass_only_if_they_are_true(data):
    name = data.draw(st.sampled_from(sorted(PROOFS)))
    proof = read(PROOFS[name])
    relation = data.draw(st.sampled_from(["=", "=", "=", "!=", ">", ">=", "<", "<="]))
    left, right = data.draw(trees(name)), data.draw(trees(name))
    rule = data.draw(st.sampled_from(THEOREMS[name].rules))
    tree = [relation, left, right]
    report = judge(name, [*proof, [tree, rule, None]])
    assert [step.right for step in report.steps[:-1]] == [True] * len(proof)
    if report.steps[-1].right:
        assert true_in_all_worlds(name, tree), report


@settings(max_examples=60)
@given(st.data())
def test_no_random_order_and_choice_of_steps_proves_anything_else(data):
    name = data.draw(st.sampled_from(sorted(PROOFS)))
    chosen = data.draw(st.lists(st.sampled_from(PROOFS[name]), min_size=1, max_size=8))
    report = check(name, chosen)
    if report.passed:
        stated = {text for text, rule in chosen if rule == "hypothesis"}
        assert stated == {text for text, rule in PROOFS[name] if rule == "hypothesis"}


@settings(max_examples=40)
@given(st.permutations(range(7)))
def test_the_order_of_a_proof_is_free(order):
    """What stands on its own may come in any order; the claim comes last."""
    proof = PROOFS["lstm_passthrough"]
    assert check("lstm_passthrough", [proof[place] for place in order] + proof[7:]).passed


@settings(max_examples=40)
@given(st.data())
def test_numbers_of_steps_hold_a_step_to_what_it_says_it_uses(data):
    """The last step of the passthrough needs five others; no fewer will do."""
    proof = PROOFS["lstm_passthrough"]
    chosen = data.draw(st.sets(st.integers(1, 7)))
    last = (*proof[7], sorted(chosen)) if chosen else ("c_bar[t] = c_bar[t+1]", "substitute", 1)
    assert check("lstm_passthrough", [*proof[:7], last]).passed == ({3, 4, 5, 6, 7} <= chosen)


def rewritten(draw, tree, commutes):
    """Return the same mathematics, written otherwise."""
    if type(tree) is not list or tree[0] in ("symbol", "at"):
        return ["+", tree, 0] if draw(st.integers(0, 5)) == 0 else tree
    if tree[:2] == ["call", "d"]:
        return tree
    tree = [tree[0]] + [item if type(item) is str else rewritten(draw, item, commutes) for item in tree[1:]]
    if draw(st.booleans()):
        if tree[0] == "+" or (tree[0] == "*" and commutes):
            return [tree[0], tree[2], tree[1]]
        if tree[0] == "-":
            return ["+", tree[1], ["neg", tree[2]]]
        if tree[0] == "neg":
            return ["*", -1, tree[1]]
        if tree[0] == "*" and type(tree[2]) is list and tree[2][0] in "+-":
            return [tree[2][0], ["*", tree[1], tree[2][1]], ["*", tree[1], tree[2][2]]]
        if tree[0] == "T" and type(tree[1]) is list and tree[1][0] == "*":
            return ["*", ["T", tree[1][2]], ["T", tree[1][1]]]
    return tree


@settings(max_examples=150)
@given(st.data())
def test_what_is_only_written_otherwise_is_algebra(data):
    from vglib.course.proofs.algebra import Algebra
    from vglib.course.proofs.elements import MathError

    name = data.draw(st.sampled_from(sorted(PROOFS)))
    left = data.draw(trees(name))
    right = rewritten(data.draw, left, name in ("lstm_passthrough", "gru_path"))
    divisors: list = []
    try:
        check_tree(["=", left, right])
        Algebra(THEOREMS[name]).element(left, divisors)
    except (MathError, ValueError):
        return
    if not divisors:
        assert judge(name, [[["=", left, right], "algebra", None]]).steps[0].right
