"""Hochreiter's bound by induction, with norms and inequalities: right in many orders, wrong at one step."""

import pytest

from vglib.course.proofs import check, worlds

NAME = "hochreiter_bound"
BASE = ("norm(e[0]) <= b^0*norm(e[0])", "algebra")
ASSUMED = ("norm(e[q]) <= b^q*norm(e[0])", "induction hypothesis")
BACK = ("e[q+1] = W.T*diag(s[q])*e[q]", "definition")
PARTS = ("norm(e[q+1]) <= norm(W)*largest(s[q])*norm(e[q])", "norm inequality")
FLAT = ("largest(s[q]) <= gamma", "hypothesis")
POSITIVE = ("gamma >= 0", "monotone")
GAMMA = ("b = norm(W)*gamma", "definition")
ONE_STEP = ("norm(e[q+1]) <= b*norm(e[q])", "monotone")
NEXT = ("norm(e[q+1]) <= b^(q+1)*norm(e[0])", "monotone")
CLAIM = ("norm(e[q]) <= b^q*norm(e[0])", "induction")

RIGHT = {
    "as one writes it": [BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, CLAIM],
    "with numbers": [
        *[BASE, ASSUMED, BACK, (*PARTS, 3), FLAT, (*POSITIVE, 5), GAMMA, (*ONE_STEP, 4, 5, 7)],
        *[(*NEXT, 2, 6, 7, 8), (*CLAIM, 1, 9)],
    ],
    "one step first, then the induction": [
        *[
            BACK,
            PARTS,
            FLAT,
            GAMMA,
            ONE_STEP,
            POSITIVE,
            ("b >= 0", "sign"),
            BASE,
            ASSUMED,
            (*NEXT, 5, 7, 9),
            CLAIM,
        ]
    ],
    "the base case last": [ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, BASE, CLAIM],
    "the base case as an equation": [
        ("b^0*norm(e[0]) = norm(e[0])", "algebra"),
        *[ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, CLAIM],
    ],
    "the other way round": [
        ("b^0*norm(e[0]) >= norm(e[0])", "algebra"),
        ("b^q*norm(e[0]) >= norm(e[q])", "induction hypothesis"),
        *[BACK, ("gamma >= largest(s[q])", "hypothesis"), ("0 <= gamma", "monotone"), GAMMA],
        ("largest(s[q])*norm(W)*norm(e[q]) >= norm(e[q+1])", "norm inequality"),
        ("norm(e[0])*b^(q+1) >= norm(e[q+1])", "monotone"),
        ("b^q*norm(e[0]) >= norm(e[q])", "induction"),
    ],
    "without b": [
        ("norm(e[0]) <= (norm(W)*gamma)^0*norm(e[0])", "algebra"),
        ("norm(e[q]) <= (norm(W)*gamma)^q*norm(e[0])", "induction hypothesis"),
        *[BACK, PARTS, FLAT, POSITIVE],
        ("norm(e[q+1]) <= norm(W)*gamma*norm(e[q])", "monotone"),
        ("norm(e[q+1]) <= (norm(W)*gamma)^(q+1)*norm(e[0])", "monotone"),
        ("norm(e[q]) <= (norm(W)*gamma)^q*norm(e[0])", "induction"),
        *[GAMMA, ("norm(e[q]) <= b^q*norm(e[0])", "substitute")],
    ],
    "every norm by itself": [
        *[BASE, ASSUMED],
        ("norm(W.T*diag(s[q])*e[q]) <= norm(W.T)*norm(diag(s[q])*e[q])", "norm inequality"),
        ("norm(diag(s[q])*e[q]) <= norm(diag(s[q]))*norm(e[q])", "norm inequality"),
        ("norm(W.T) = norm(W)", "norm inequality"),
        ("norm(diag(s[q])) = largest(s[q])", "norm inequality"),
        *[FLAT, POSITIVE, BACK],
        ("norm(e[q+1]) <= norm(W)*norm(diag(s[q]))*norm(e[q])", "monotone", 3, 4, 5, 9),
        ("norm(e[q+1]) <= norm(W)*gamma*norm(e[q])", "monotone", 6, 7, 10),
        *[GAMMA, ("norm(e[q+1]) <= b*norm(e[q])", "substitute", 11, 12), NEXT, CLAIM],
    ],
    "an inequality for the diagonal matrix": [
        *[
            BASE,
            ASSUMED,
            BACK,
            ("norm(diag(s[q])) <= largest(s[q])", "norm inequality"),
            FLAT,
            POSITIVE,
            GAMMA,
        ],
        ("norm(e[q+1]) <= norm(W)*norm(diag(s[q]))*norm(e[q])", "norm inequality"),
        *[ONE_STEP, NEXT, CLAIM],
    ],
    "multiplied, then chained": [
        *[BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, ("b >= 0", "sign", 6, 7)],
        ("b*norm(e[q]) <= b*(b^q*norm(e[0]))", "monotone", 2, 9),
        ("norm(e[q+1]) <= b*(b^q*norm(e[0]))", "transitivity", 8, 10),
        ("norm(e[q+1]) <= b^(q+1)*norm(e[0])", "algebra", 11),
        (*CLAIM, 1, 12),
    ],
    "largest is kept while the induction hypothesis goes in": [
        *[BASE, ASSUMED, BACK, PARTS],
        ("norm(e[q+1]) <= norm(W)*largest(s[q])*b^q*norm(e[0])", "monotone", 2, 4),
        *[FLAT, POSITIVE, GAMMA, ("b^q >= 0", "sign", 7, 8), (*NEXT, 5, 6, 7, 8, 9), CLAIM],
    ],
    "in mathematicians' signs": [
        ("‖e₀‖ ≤ b^0·‖e₀‖", "base case"),
        ("‖e_{q}‖ ≤ b^q·‖e₀‖", "induction hypothesis"),
        ("e_{q+1} = Wᵀ·diag(s_{q})·e_{q}", "definition"),
        ("‖e_{q+1}‖ ≤ ‖W‖·largest(s_{q})·‖e_{q}‖", "norm inequality"),
        *[FLAT, POSITIVE, ("b = ‖W‖·γ", "definition"), ("‖e_{q+1}‖ ≤ b^{q+1}·‖e₀‖", "monotone")],
        ("‖e_{q}‖ ≤ b^q·‖e₀‖", "induction"),
    ],
    "the hypothesis at another q, too": [
        *[
            BASE,
            ASSUMED,
            BACK,
            PARTS,
            ("largest(s[q+1]) <= gamma", "hypothesis"),
            ("0 <= gamma", "monotone"),
            GAMMA,
        ],
        *[FLAT, ONE_STEP, NEXT, CLAIM],
    ],
    "steps that are not needed": [
        *[BASE, ("b^(q+1) = b*b^q", "algebra"), ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA],
        *[("norm(e[q+1]) >= 0", "sign"), NEXT, ("b^(q+2) = b^2*b^q", "algebra"), CLAIM],
    ],
}

WRONG = {
    "the claim alone": ([CLAIM], 1, "the base case is not among the steps that it uses: the claim at q = 0"),
    "the claim as a hypothesis": (
        [(CLAIM[0], "hypothesis")],
        1,
        "that is the claim itself: it is to be shown, and cannot be assumed. What may be assumed of it has "
        "the rule induction hypothesis.",
    ),
    "the claim as algebra": ([(CLAIM[0], "algebra")], 1, "may be negative"),
    "the induction hypothesis alone": (
        [ASSUMED],
        0,
        "rests on the induction hypothesis, which is the claim itself",
    ),
    "the induction hypothesis repeated": (
        [BASE, ASSUMED, (ASSUMED[0], "monotone")],
        0,
        "rests on the induction hypothesis, which is the claim itself. Close with the rule induction.",
    ),
    "no base case": (
        [ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, CLAIM],
        9,
        "the base case is not among the steps that it uses: the claim at q = 0, "
        "norm(e[0]) <= b^0*norm(e[0]). Without it nothing begins.",
    ),
    "a base case about nothing": (
        [("0 <= 0", "algebra"), ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, CLAIM],
        10,
        "the base case is not among the steps",
    ),
    "the base case assumed": (
        [(BASE[0], "induction hypothesis")],
        1,
        "that is the claim at q = 0, the base case: it is to be shown, not assumed",
    ),
    "the base case of something else": (
        [("norm(e[0]) <= b*norm(e[0])", "algebra")],
        1,
        "may be negative",
    ),
    "the base case not given its number": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ONE_STEP, NEXT, (*CLAIM, 2, 9)],
        10,
        "Without it nothing begins. It needs step 1 (norm(e[0]) <= b^0*norm(e[0])) as well",
    ),
    "no step": (
        [BASE, ASSUMED, CLAIM],
        3,
        "the claim at q+1 is not among the steps that it uses: norm(e[q+1]) <= b^(q+1)*norm(e[0]) has to "
        "follow from the claim at q.",
    ),
    "one step is not all of them": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, GAMMA, ONE_STEP, CLAIM],
        8,
        "the claim at q+1 is not among",
    ),
    "the claim at q+1 assumed": (
        [BASE, (NEXT[0], "induction hypothesis"), CLAIM],
        2,
        "that is the claim at q+1: it is to be shown, and cannot be assumed",
    ),
    "the claim at q+1 from the claim at q, by nothing": (
        [BASE, ASSUMED, NEXT, CLAIM],
        3,
        "as far as the inequalities used here say, b*b^q*norm(e[0]) - norm(e[q+1]) may be negative",
    ),
    "q+1 put in for q": (
        [BASE, ASSUMED, (NEXT[0], "substitute"), CLAIM],
        3,
        "may be negative",
    ),
    "the claim at q+1 as a hypothesis": ([BASE, (NEXT[0], "hypothesis")], 2, "that is the claim itself"),
    "a circle": (
        [BASE, (*NEXT, 3), (*CLAIM, 1, 2)],
        2,
        "step 2: it uses step 3; only 1 to 1 come before it",
    ),
    "something else assumed": (
        [BASE, ("norm(e[q]) <= norm(e[0])", "induction hypothesis")],
        2,
        "that is not what may be assumed. The induction hypothesis is the claim at q: norm(e[q]) <= ",
    ),
    "a stronger claim assumed": (
        [BASE, ("norm(e[q]) = b^q*norm(e[0])", "induction hypothesis")],
        2,
        "that is not what may be assumed",
    ),
    "the other direction assumed": (
        [BASE, ("norm(e[q]) >= b^q*norm(e[0])", "induction hypothesis")],
        2,
        "that is not what may be assumed",
    ),
    "strictly less assumed": (
        [BASE, ("norm(e[q]) < b^q*norm(e[0])", "induction hypothesis")],
        2,
        "that is not what may be assumed",
    ),
    "the norm of a product is not the product": (
        [BACK, ("norm(e[q+1]) = norm(W)*largest(s[q])*norm(e[q])", "norm inequality")],
        2,
        "left minus right leaves",
    ),
    "the norm of a product is at least the product": (
        [BACK, ("norm(e[q+1]) >= norm(W)*largest(s[q])*norm(e[q])", "norm inequality")],
        2,
        "it holds the other way round: the norm of a product is at most the product of the norms",
    ),
    "a strict inequality for norms": (
        [BACK, ("norm(e[q+1]) < norm(W)*largest(s[q])*norm(e[q])", "norm inequality")],
        2,
        "may be 0 or negative",
    ),
    "true for most numbers, not for all": (
        [BACK, ("norm(e[q+1]) <= 0.999999*norm(W)*largest(s[q])*norm(e[q])", "norm inequality")],
        2,
        "may be negative",
    ),
    "a bound that only holds for q > 0": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, ("b^q <= b^(q+1) + 1", "monotone")],
        8,
        "may be negative",
    ),
    "a norm without its matrix": (
        [BACK, ("norm(e[q+1]) <= largest(s[q])*norm(e[q])", "norm inequality")],
        2,
        "may be negative",
    ),
    "the definition used in silence": (
        [PARTS],
        1,
        "It needs the definition e[q+1] = W.T*diag(s[q])*e[q]: state it as a step before this one",
    ),
    "W not turned": (
        [("e[q+1] = W*diag(s[q])*e[q]", "definition")],
        1,
        "The definition is e[q+1] = W.T*diag(",
    ),
    "the factors in the wrong order": (
        [("e[q+1] = diag(s[q])*W.T*e[q]", "definition")],
        1,
        "The definition is e[q+1] = W.T*diag(s[q])*e[q]",
    ),
    "the slopes of another step": (
        [("e[q+1] = W.T*diag(s[q+1])*e[q]", "definition")],
        1,
        "The definition is e[q+1] = W.T*diag(s[q])*e[q]",
    ),
    "the slopes at least gamma": (
        [("largest(s[q]) >= gamma", "hypothesis")],
        1,
        "nothing of the kind is given",
    ),
    "gamma = 1": ([("gamma = 1", "hypothesis")], 1, "The hypotheses are: largest(s[q]) <= gamma"),
    "largest of a matrix": (
        [("largest(W) <= gamma", "hypothesis")],
        1,
        "largest takes a column of n numbers",
    ),
    "the slopes used in silence": (
        [BACK, PARTS, GAMMA, ONE_STEP],
        4,
        "It needs the hypothesis largest(s[q]) <= gamma",
    ),
    "b >= 0 used in silence": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, GAMMA, ONE_STEP, (*NEXT, 2, 6, 7)],
        8,
        "it multiplies an inequality by gamma*norm(W), and no step used here says that gamma*norm(W) >= 0.",
    ),
    "multiplied by what may be negative": (
        [ASSUMED, ("b*norm(e[q]) <= b*(b^q*norm(e[0]))", "monotone")],
        2,
        "it multiplies an inequality by b, and no step used here says that b >= 0.",
    ),
    "multiplied by -1": (
        [ASSUMED, ("-norm(e[q]) <= -b^q*norm(e[0])", "monotone")],
        2,
        "it holds the other way round: turn the sign",
    ),
    "chained against the signs": (
        [FLAT, ("norm(W)*gamma <= norm(W)*largest(s[q])", "monotone")],
        2,
        "it holds the other way round: turn the sign",
    ),
    "a larger factor put on the smaller side": (
        [BACK, PARTS, FLAT, ("norm(W)*gamma*norm(e[q]) >= norm(e[q+1]) + 1", "monotone")],
        4,
        "may be negative",
    ),
    "b >= 0 from nothing": ([("b >= 0", "sign")], 1, "b may be negative"),
    "b > 0": (
        [FLAT, POSITIVE, GAMMA, ("b > 0", "sign")],
        4,
        "may be 0",
    ),
    "gamma >= 0 by its sign": ([FLAT, ("gamma >= 0", "sign")], 2, "sign is not its rule; monotone is"),
    "two exponents added": (
        [BASE, ASSUMED, ("b^(q+1)*norm(e[0]) = b^q*norm(e[0]) + b*norm(e[0])", "algebra")],
        3,
        "left minus right leaves",
    ),
    "a power of a sum": ([("(b + gamma)^q = b^q + gamma^q", "algebra")], 1, "left minus right leaves"),
    "a power of a negative": (
        [("(-b)^q = b^q", "algebra")],
        1,
        "left minus right leaves",
    ),
    "0 to the power of q": ([("0^q = 0", "algebra")], 1, "left minus right leaves"),
    "a power is not negative": ([("b^q >= 0", "sign")], 1, "b^q may be negative"),
    "an even power of q": ([("b^q = b^2", "algebra")], 1, "left minus right leaves"),
    "a power that grows": ([("b^q <= b^(q+1)", "algebra")], 1, "may be negative"),
    "one step at q+1": (
        [ASSUMED, ("norm(e[q+1]) <= b^q*norm(e[q+1])", "monotone")],
        2,
        "may be negative",
    ),
    "a square form is not positive": (
        [("e[q].T*diag(s[q])*e[q] >= 0", "sign")],
        1,
        "may be negative",
    ),
    "counted down": (
        [("norm(e[q-1]) <= b^(q-1)*norm(e[0])", "induction hypothesis")],
        1,
        "steps back are counted up",
    ),
    "counted in t": (
        [("norm(e[t]) <= 1", "algebra")],
        1,
        "e[t] has no meaning here: write e[q], e[q+1] (and e[0])",
    ),
    "far": ([("norm(e[q+3]) >= 0", "sign")], 1, "only steps q to q+2 are allowed here"),
    "e without its step": ([("norm(e) >= 0", "sign")], 1, "e needs its step: e[q] or e[q+1]"),
    "e_q": ([("norm(e_q) >= 0", "sign")], 1, "unknown symbol e_q; did you mean e[q]?"),
    "a matrix to the power of q": (
        [("W^q = W", "algebra")],
        1,
        "a power of an n×n matrix has no meaning here",
    ),
    "the norm of I": ([("norm(I) = 1", "algebra")], 1, "norm(I) is 1: write 1"),
    "diag of a matrix": ([("diag(W) = W", "algebra")], 1, "diag takes a column of n numbers"),
    "it stops before the claim": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, NEXT],
        0,
        "rests on the",
    ),
    "it goes on after the claim": (
        [BASE, ASSUMED, BACK, PARTS, FLAT, POSITIVE, GAMMA, NEXT, CLAIM, ASSUMED],
        0,
        "the last one is not the claim",
    ),
    "another claim by induction": (
        [BASE, ASSUMED, ("norm(e[q]) <= norm(e[0])", "induction")],
        3,
        "the rule ends with the claim and with nothing else: norm(e[q]) <= b^q*norm(e[0])",
    ),
    "monotone for an equation": (
        [ASSUMED, ("b = b", "monotone")],
        2,
        "equation is right, but monotone is",
    ),
    "monotone from nothing": ([("norm(e[q]) >= 0", "monotone")], 1, "monotone is not its rule; algebra is"),
    "a vector compared": (
        [("e[q+1] <= e[q]", "monotone")],
        1,
        "`<=` compares numbers; a column of n numbers came",
    ),
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
    if report.steps:
        assert [step.number for step in report.steps if not step.right][:1] == ([number] if number else [])


def test_wrong_proofs_fail_without_random_numbers_too(monkeypatch):
    """The symbolic side alone lets none of them through."""
    monkeypatch.setattr(worlds, "agrees", lambda *_: True)
    for steps, _, _ in WRONG.values():
        assert not check(NAME, steps).passed
