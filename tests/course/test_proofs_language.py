"""How proofs are written, what is said when they cannot be read, and what a statement shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.course.proofs import THEOREMS, ProofError, check, parse, read, statement
from vglib.course.proofs.trees import check_tree, write

SAME = [
    ("c̄[t] = 1", "c_bar[t] = 1"),
    ("c\u0304ₜ₊₁ = hₜ₋₁", "c_bar[t+1] = h[t-1]"),
    ("ȳ = x̄", "y_bar = x_bar"),
    ("a·b×c∘d⊙e@f = 1", "a*b*c*d*e*f = 1"),
    ("a**2 = a²", "a^2 = a^2"),
    ("Qᵀ*Q = Q^T*Q.T", "Q.T*Q = Q.T*Q.T"),
    ("‖x‖² = norm(x)^2", "norm(x)^2 = norm(x)^2"),
    ("‖x - y‖*‖x‖ = ||x||", "norm(x - y)*norm(x) = norm(x)"),
    ("|a|*|b| = abs(a*b)", "abs(a)*abs(b) = abs(a*b)"),
    ("g' = g′ ", "g_new = g_new"),
    ("g ≠ 0", "g != 0"),
    ("η ≥ 0", "eta >= 0"),
    ("a ≤ b", "a <= b"),
    ("a < b^{q+1}", "a < b^(q+1)"),
    ("γ^q·e₀ = (gamma)^(1+q)", "gamma^q*e[0] = gamma^(q+1)"),
    ("e_{q+1} = e[ q ]^(-2)", "e[q+1] = e[q]^-2"),
    ("(a*b)^q = (a^q)^q", "(a*b)^q = (a^q)^q"),
    ("σ(a) = 1", "sigma(a) = 1"),
    ("a − b = −c", "a - b = -c"),
    ("c[ t + 1 ] = c[t−1]", "c[t+1] = c[t-1]"),
    ("0.25 = 1/4", "25/100 = 1/4"),
    ("a = (b)", "a = b"),
    ("c̄_{t+1} = h_{t}", "c_bar[t+1] = h[t]"),
]

WRONG = [
    ("", "column 1: a symbol, a number or a bracket is wanted here; the end came"),
    ("a", "column 2: a step is an equation: left = right"),
    ("a == b", "column 3: write a single `=`"),
    ("a = b = c", "column 7: one equation a step"),
    ("a = b < c", "column 7: one equation a step"),
    ("a <= b <= c", "column 8: one equation a step"),
    ("e[q-1] = 1", "column 3: steps back are counted up, from q to q+1, for q-1 is none at q = 0"),
    ("a^(q-1) = 1", "column 3: an exponent is a whole number, or q or q+1"),
    ("a^(2*q) = 1", "column 3: an exponent is a whole number, or q or q+1"),
    ("a^(q+1 = 1", "column 11: `)` is missing here, for what opens in column 3; the end came"),
    ("a^-q = 1", "column 3: an exponent is a whole number, or q or q+1"),
    ("a^(q+7) = 1", "an exponent must be q, or q and a whole number of at most 6"),
    ("a^" + "9" * 300 + " = 1", "an exponent must be a whole number of size at most 6"),
    ("(a + b = c", "column 8: `)` is missing here, for what opens in column 1; `=` came"),
    ("a = b)", "column 6: `)` closes nothing"),
    ("a = 2b", "column 6: a sign is missing before this; a product needs its `*`"),
    ("‖Q x‖ = 1", "column 4: a sign is missing before this"),
    ("a = b +", "column 8: a symbol, a number or a bracket is wanted here; the end came"),
    ("a = * b", "column 5: a symbol, a number or a bracket is wanted here; `*` came"),
    ("a = b ? c", "column 7: `?` has no meaning here"),
    ("d(c[t+1, c[t]) = f[t+1]", "column 11: `]` is missing here, for what opens in column 4"),
    ("c[s] = 1", "column 3: a step in time is t, t+1 or t-1; 's' came"),
    ("c[t+1.5] = 1", "column 3: a step in time is"),
    ("c_{t+1 = 1", "column 8: `}` is missing here, for what opens in column 3"),
    ("{a} = 1", "column 1: a symbol, a number or a bracket is wanted here; `{` came"),
    ("c[2] = 1", "column 3: a step in time is"),
    ("a^b = 1", "column 3: an exponent is a whole number"),
    ("a^0.5 = 1", "column 3: an exponent is a whole number"),
    ("a^7 = 1", "an exponent must be a whole number of size at most 6"),
    ("a = 10000000", "numbers may have a size of at most 1,000,000"),
    ("a = " + "(" * 40 + "b" + ")" * 40, "the brackets are too deep"),
    ("a = " + "+".join("b" * 180), "the equation is too long"),
    ("a = " + "b" * 500, "the equation has 504 characters; at most 400"),
    ("__import__('os') = 1", "column 1"),
    (r"\bar{c}_t = 1", "`\\` came. No LaTeX here: write c_bar[t], norm(x), Q.T, eta."),
    ("∂h[t]/∂c[t] = 1", "`∂` came. A local derivative is written d(y, x)."),
    ("norm(x) = √(x.T*x)", "`√` came. A square root is written sqrt(…)."),
    ("norm(x)^2 = <x, x>", "`<` came. A product of two columns is written x.T*y."),
    ("1 - tanh^2(c[t]) = 1", "the power of a function comes after its brackets: tanh(…)^2."),
    ("tanh'(c[t]) = 1", "a derivative is written d(y, x)."),
    ("\u0441[t] = 1", "It is CYRILLIC SMALL LETTER ES: no letter of this theorem."),
    ("\u0391 = 1", "a symbol needs a name: letters a to z, digits and _, 30 at most"),
    ("a = norm(x, y, z, w)", "a call needs the name of a function and one to three arguments"),
]

NO_PROOFS = [
    (None, "None came: does the function end with `return [...]`?"),
    ("a = b", "a list of steps is wanted; str came"),
    (7, "a list of steps is wanted; int came"),
    ([], "it is empty. Begin with a definition and end with the claim"),
    (("a = b", "algebra"), "that is one step alone; put the steps into a list"),
    ([("a = b", "algebra")] * 41, "it has 41 steps; 40 are enough"),
    ([None], "step 1: a step is a tuple"),
    ([("a = b", "algebra"), "a = b"], "step 2: a step is a tuple"),
    ([("a = b",)], "step 1: a step has an equation and the name of its rule"),
    ([("a = b", 3)], "step 1: a step has an equation and the name of its rule"),
    ([(3, "algebra")], "step 1: a step has an equation and the name of its rule"),
    ([("a = b", "algebra", "1")], "step 1: after the rule come numbers of earlier steps; '1' is none"),
    ([("a = b", "algebra", True)], "step 1: after the rule come numbers"),
    ([("a = b", "algebra", 1)], "step 1: it uses itself; nothing comes before it"),
    ([("a = b", "algebra"), ("a = b", "algebra", 5)], "step 2: it uses step 5; only 1 to 1 come before it"),
    ([("a = b", "algebra"), ("a = b", "algebra", 0)], "step 2: it uses step 0"),
    ([("a = b", "algebra"), ("a == b", "algebra")], "step 2, column 3: write a single `=`"),
]


@pytest.mark.parametrize(("text", "plain"), SAME)
def test_many_ways_to_write_one_thing(text, plain):
    assert parse(text) == parse(plain)
    assert write(parse(text)) == plain


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_what_cannot_be_read(text, words):
    with pytest.raises(ProofError) as error:
        parse(text, 3)
    assert words in str(error.value)
    assert str(error.value).startswith("step 3")


def test_a_caret_shows_the_place():
    with pytest.raises(ProofError) as error:
        parse("c̄[t] = c̄[t+1] * (f[t+1]", 2)
    lines = str(error.value).split("\n")
    assert lines[1] == "    c̄[t] = c̄[t+1] * (f[t+1]"
    # The two bars take no room of their own.
    assert lines[2] == "    " + " " * 23 + "^"


@pytest.mark.parametrize(("steps", "words"), NO_PROOFS)
def test_what_is_no_proof(steps, words):
    with pytest.raises(ProofError) as error:
        read(steps)
    assert words in str(error.value)
    report = check("lstm_passthrough", steps)
    assert not report.passed
    assert report.message == str(error.value)


def test_steps_as_plain_lists():
    steps = [("a = 1", "Definition"), ["b = a", " chain  rule ", [1]], ("c = b", "algebra", 1, 2)]
    assert read(steps) == [
        [["=", ["symbol", "a"], 1], "definition", None],
        [["=", ["symbol", "b"], ["symbol", "a"]], "chain rule", [1]],
        [["=", ["symbol", "c"], ["symbol", "b"]], "algebra", [1, 2]],
    ]


leaves = st.integers(0, 99) | st.sampled_from(
    [["symbol", "a"], ["symbol", "Q"], ["at", "c", 1], ["at", "h", 0], ["step", "e", 1], ["start", "e"]]
)
expressions = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from("+-*/"), inner, inner).map(list)
        | st.tuples(st.just("^"), inner, st.integers(-3, 3)).map(list)
        | st.tuples(st.just("raise"), inner, st.integers(0, 3)).map(list)
        | st.tuples(st.sampled_from(["neg", "T"]), inner).map(list)
        | st.tuples(st.just("call"), st.sampled_from(["norm", "abs", "tanh"]), inner).map(list)
    ),
    max_leaves=8,
)


def plain(tree):
    """-3 is one number when it is read; a tree may also hold the negative of 3."""
    if type(tree) is not list:
        return tree
    tree = [plain(item) for item in tree]
    return -tree[1] if tree[0] == "neg" and type(tree[1]) is int else tree


@given(expressions, expressions)
def test_what_is_written_reads_back(left, right):
    tree = plain(["=", left, right])
    check_tree(tree)
    assert parse(write(tree)) == tree


@given(st.text(max_size=60) | st.text("abcdt+-*/^()[]|‖=.,' 0123456789ᵀ²ₜ₊₁", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        tree = parse(text)
    except ProofError:
        return
    check_tree(tree)


@pytest.mark.parametrize("name", THEOREMS)
def test_a_statement_says_all_that_a_proof_may_use(name):
    theorem = THEOREMS[name]
    shown = statement(name)
    text = shown._repr_markdown_()
    for fact in (*theorem.definitions, *theorem.hypotheses, *theorem.claims):
        assert f"`{fact.text}`" in text
    for rule in theorem.rules:
        assert f"| {rule} |" in text
    assert "`" not in repr(shown)
    # Everything in a statement can be read and has a meaning.
    assert all(parse(fact.text) == fact.tree for fact in theorem.claims)


def test_no_such_statement():
    with pytest.raises(ValueError, match="theorem must be one of"):
        statement("lstm")
