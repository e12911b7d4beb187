"""Proofs with vectors and matrices: lengths, directions, residual blocks."""

import pytest

from vglib.course.proofs import check

# ‖Qx‖ = ‖x‖
SQUARE_QX = ("norm(Q*x)^2 = (Q*x).T*(Q*x)", "norm")
TURNED = ("(Q*x).T = x.T*Q.T", "transpose")
GIVEN = ("Q.T*Q = I", "hypothesis")
SQUARE_X = ("norm(x)^2 = x.T*x", "norm")
SAME = ("norm(Q*x)^2 = norm(x)^2", "substitute")
LENGTH = ("norm(Q*x) = norm(x)", "square root")

# g'/‖g'‖ = g/‖g‖
G, ETA = ("g != 0", "hypothesis"), ("eta > 0", "hypothesis")
LONG = ("norm(g) > 0", "sign")
FACTOR = ("a = min(1, eta/norm(g))", "definition")
UP = ("a > 0", "sign")
CLIPPED = ("g_new = a*g", "definition")
SCALED = ("norm(g_new) = abs(a)*norm(g)", "norm")
SIZE = ("abs(a) = a", "absolute value")
WAY = ("g_new/norm(g_new) = g/norm(g)", "substitute")

# y = x and x̄ = ȳ
BLOCK = ("y = x + F(x)", "definition")
NOTHING = ("F(x) = 0", "hypothesis")
FORTH = ("y = x", "substitute")
BACK = ("x_bar = y_bar*d(y, x)", "chain rule")
SLOPE = ("d(y, x) = I + d(F(x), x)", "differentiate")
FLAT = ("d(F(x), x) = 0", "differentiate")
EQUAL = ("x_bar = y_bar", "substitute")

RIGHT = {
    "orthogonal_norm": [
        [SQUARE_QX, TURNED, GIVEN, SQUARE_X, SAME, LENGTH],
        [GIVEN, SQUARE_X, SQUARE_QX, SAME, LENGTH],
        [
            *[SQUARE_QX, TURNED, ("norm(Q*x)^2 = x.T*(Q.T*Q)*x", "substitute", 1, 2), GIVEN],
            *[("norm(Q*x)^2 = x.T*I*x", "substitute", 3, 4), ("norm(Q*x)^2 = x.T*x", "algebra", 5)],
            *[SQUARE_X, (*SAME, 6, 7), (*LENGTH, 8)],
        ],
        [
            ("norm(x)^2 = xᵀ*x", "norm"),
            ("Qᵀ*Q = I", "hypothesis"),
            ("‖x‖² = xᵀ*Qᵀ*Q*x", "substitute"),
            ("‖Q*x‖² = (Q*x)ᵀ*(Q*x)", "norm"),
            ("‖x‖² = ‖Q*x‖²", "substitute", 3, 4),
            ("‖x‖ = ‖Q*x‖", "square root", 5),
        ],
        [
            ("norm(Q*x) = sqrt(x.T*Q.T*Q*x)", "norm"),
            GIVEN,
            ("norm(Q*x) = sqrt(x.T*x)", "substitute", 1, 2),
            ("norm(x) = sqrt(x.T*x)", "norm"),
            ("norm(Q*x) = norm(x)", "substitute", 3, 4),
        ],
        [GIVEN, ("norm(Q*x)^2 = norm(x)^2", "norm"), LENGTH],
        [
            ("I = Q.T*Q", "hypothesis"),
            ("norm(Q*x)^2 - norm(x)^2 = x.T*(Q.T*Q - I)*x", "norm"),
            ("norm(Q*x)^2 - norm(x)^2 = 0", "substitute", 1, 2),
            LENGTH,
        ],
        [
            *[("norm(Q*x) >= 0", "sign"), ("norm(x) >= 0", "sign"), GIVEN, SQUARE_QX, SQUARE_X, SAME],
            (*LENGTH, 1, 2, 6),
        ],
        [
            GIVEN,
            ("norm(Q*x) = sqrt((Q*x).T*(Q*x))", "norm"),
            ("sqrt((Q*x).T*(Q*x)) = sqrt(x.T*Q.T*Q*x)", "transpose"),
            ("sqrt(x.T*Q.T*Q*x) = sqrt(x.T*x)", "substitute", 1),
            ("sqrt(x.T*x) = norm(x)", "norm"),
            ("norm(Q*x) = norm(x)", "substitute", 2, 3, 4, 5),
        ],
        [
            *[GIVEN, SQUARE_QX, SQUARE_X],
            ("(norm(Q*x) - norm(x))*(norm(Q*x) + norm(x)) = 0", "substitute"),
            LENGTH,
        ],
        [
            ("‖Q*x‖*‖Q*x‖ = (Q*x)^T*(Q*x)", "norm"),
            ("(Q*x)^T*(Q*x) = x^T*(Q^T*Q)*x", "transpose"),
            ("Q^T*Q = I", "hypothesis"),
            ("x^T*(Q^T*Q)*x = x^T*x", "substitute", 3),
            ("x^T*x = ‖x‖*‖x‖", "norm"),
            ("‖Q*x‖*‖Q*x‖ = ‖x‖*‖x‖", "substitute", 1, 2, 4, 5),
            ("‖Q*x‖ = ‖x‖", "square root"),
        ],
    ],
    "clipping_direction": [
        [G, ETA, LONG, FACTOR, UP, CLIPPED, SCALED, SIZE, WAY],
        [CLIPPED, FACTOR, ETA, G, UP, SIZE, SCALED, WAY],
        [
            *[G, ETA, (*LONG, 1), FACTOR, (*UP, 2, 3, 4), CLIPPED, (*SCALED, 6), (*SIZE, 5)],
            ("norm(g_new) = a*norm(g)", "substitute", 7, 8),
            ("g_new/norm(g_new) = a*g/(a*norm(g))", "substitute", 6, 9),
            ("g_new/norm(g_new) = g/norm(g)", "algebra", 10),
        ],
        [
            G,
            ETA,
            FACTOR,
            ("eta/norm(g) > 0", "sign", 1, 2),
            ("a != 0", "sign"),
            ("a >= 0", "sign"),
            CLIPPED,
            ("|a| = a", "absolute value"),
            ("‖g'‖ = |a|·‖g‖", "norm"),
            ("g'/‖g'‖ = g/‖g‖", "substitute"),
        ],
        [
            G,
            ETA,
            FACTOR,
            UP,
            CLIPPED,
            ("norm(g_new)^2 = a^2*norm(g)^2", "norm"),
            ("norm(g_new)^2 = (a*norm(g))^2", "algebra", 6),
            ("norm(g_new) = a*norm(g)", "square root"),
            WAY,
        ],
        [
            ("η > 0", "hypothesis"),
            G,
            FACTOR,
            UP,
            CLIPPED,
            SCALED,
            SIZE,
            ("norm(g_new) > 0", "sign"),
            ("g_new*norm(g) = g*norm(g_new)", "substitute"),
            WAY,
        ],
        [
            *[G, ETA, FACTOR, UP, CLIPPED, SCALED, ("abs(a) != 0", "sign")],
            ("g_new/norm(g_new) = (a/abs(a))*(g/norm(g))", "substitute"),
            ("a/abs(a) = 1", "absolute value"),
            WAY,
        ],
        [
            *[G, ETA, FACTOR, UP, ("norm(a*g) = abs(a)*norm(g)", "norm"), SIZE, CLIPPED],
            ("g_new/norm(g_new) = a*g/norm(a*g)", "substitute"),
            ("a*g/norm(a*g) = 1/(a*norm(g))*a*g", "substitute"),
            ("1/(a*norm(g))*a*g = g/norm(g)", "algebra"),
            WAY,
        ],
        [
            *[G, ETA, ("min(1, eta/norm(g)) > 0", "sign"), FACTOR, ("a > 0", "substitute", 3, 4), CLIPPED],
            ("norm(g_new)^2 = g_new.T*g_new", "norm"),
            ("norm(g_new)^2 = a^2*(g.T*g)", "substitute", 6, 7),
            ("norm(g)^2 = g.T*g", "norm"),
            ("norm(g_new)^2 = (a*norm(g))^2", "substitute", 8, 9),
            ("norm(g_new) = a*norm(g)", "square root", 5, 10),
            WAY,
        ],
    ],
    "residual_identity": [
        [BLOCK, NOTHING, FORTH, BACK, SLOPE, FLAT, EQUAL],
        [BACK, SLOPE, NOTHING, FLAT, EQUAL, BLOCK, FORTH],
        [
            *[NOTHING, FLAT, SLOPE, ("d(y, x) = I", "substitute", 2, 3), BACK],
            *[("x_bar = y_bar*I", "substitute", 4, 5), ("x_bar = y_bar", "algebra", 6), BLOCK, FORTH],
        ],
        [
            NOTHING,
            BLOCK,
            FORTH,
            ("ȳ*(I + d(F(x), x)) = x̄", "chain rule"),
            FLAT,
            ("x̄ = ȳ", "substitute", 4, 5),
        ],
        [
            BLOCK,
            NOTHING,
            ("x = y", "substitute", 1, 2),
            BACK,
            SLOPE,
            FLAT,
            ("x_bar - y_bar = 0", "substitute"),
        ],
        # y = x holds for all x, so that it may be differentiated.
        [BLOCK, NOTHING, (*FORTH, 1, 2), ("d(y, x) = I", "differentiate", 3), BACK, (*EQUAL, 4, 5)],
        [BLOCK, NOTHING, ("x = y", "substitute"), BACK, ("I = d(y, x)", "differentiate", 3), EQUAL],
        [
            *[BLOCK, NOTHING, FORTH, ("d(y, x) = d(x, x) + d(F(x), x)", "differentiate")],
            *[("d(x, x) = I", "differentiate"), FLAT, BACK, EQUAL],
        ],
        [
            *[NOTHING, ("0 = d(F(x), x)", "differentiate"), ("I + d(F(x), x) = d(y, x)", "differentiate")],
            *[("y_bar*d(y, x) = x_bar", "chain rule"), ("y_bar*(I + 0) = x_bar", "substitute")],
            *[("y_bar = x_bar", "algebra"), ("x + F(x) = y", "definition"), ("x = y", "substitute")],
        ],
        [BACK, BLOCK, NOTHING, ("y = x + 0", "substitute"), FORTH, SLOPE, FLAT, EQUAL],
    ],
}

WRONG = {
    "orthogonal_norm": [
        ([LENGTH], 1, "the squares of the two sides differ by"),
        ([("norm(Q*x) = norm(x)", "hypothesis")], 1, "that is the claim itself"),
        ([("norm(Q*x) = norm(x)", "norm")], 1, "left minus right leaves"),
        ([("Q*Q.T = I", "hypothesis")], 1, "nothing of the kind is given. The hypotheses are: Q.T*Q = I"),
        ([("Q.T = Q", "hypothesis")], 1, "it compares an n×m matrix and an m×n matrix"),
        ([GIVEN, ("Q*Q.T = I", "substitute")], 2, "left minus right leaves"),
        ([GIVEN, ("Q.T*Q = Q*Q.T", "algebra")], 2, "it compares an n×n matrix and an m×m matrix"),
        ([("Q.T*Q = 1", "hypothesis")], 1, "I is a matrix, 1 a number"),
        ([SQUARE_QX, ("(Q*x).T = Q.T*x.T", "transpose")], 2, "the order does not fit"),
        ([("norm(Q*x)^2 = x.T*Q*Q.T*x", "norm")], 1, "the order does not fit"),
        ([("norm(Q*x)^2 = (Q*x)*(Q*x).T", "norm")], 1, "it compares a number and an m×m matrix"),
        ([("norm(Q*x)^2 = Q*x", "norm")], 1, "it compares a number and a column of m numbers"),
        ([("norm(Q*x) = (Q*x).T*(Q*x)", "norm")], 1, "left minus right leaves"),
        ([("norm(Q*x) = norm(Q)*norm(x)", "norm")], 1, "norm takes a vector; an m×n matrix came"),
        ([("norm(x)^2 = x^2", "norm")], 1, "for a vector write x.T*x"),
        ([SQUARE_QX, SQUARE_X, SAME], 3, "It needs the hypothesis Q.T*Q = I"),
        ([SQUARE_QX, SQUARE_X, GIVEN, (*SAME, 1, 2)], 4, "It needs step 3 (Q.T*Q = I) as well"),
        ([GIVEN, SQUARE_QX, (*SAME, 1, 2)], 3, "norm is"),
        ([SQUARE_QX, SQUARE_X, GIVEN, SAME, ("norm(Q*x) = norm(x)", "algebra")], 5, "square root is"),
        (
            [SQUARE_QX, SQUARE_X, GIVEN, SAME, ("norm(Q*x) = -norm(x)", "square root")],
            5,
            "-norm(x) may be negative",
        ),
        ([SQUARE_QX, TURNED, GIVEN, SQUARE_X, SAME], 0, "none of them is the claim"),
        ([("Q = I", "hypothesis")], 1, "it compares an m×n matrix and a matrix"),
        ([("x/x = 1", "algebra")], 1, "it divides by a column of n numbers"),
        ([("norm(Q*x)/norm(x) = 1", "algebra")], 1, "it divides by norm(x), and no earlier step says"),
        ([("Q.T*Q*x = Q*Q.T*x", "algebra")], 1, "the order does not fit"),
        ([("x.T*Q.T*Q*x = Q.T*Q*x*x.T", "algebra")], 1, "it compares a number and an n×n matrix"),
    ],
    "clipping_direction": [
        (
            [("g_new/norm(g_new) = g/norm(g)", "algebra")],
            1,
            "it divides by norm(g_new), and no earlier step says",
        ),
        ([("g_new/norm(g_new) = g/norm(g)", "hypothesis")], 1, "that is the claim itself"),
        ([ETA, LONG], 2, "It needs the hypothesis g != 0"),
        ([G, ("norm(g) > 1", "sign")], 2, "norm(g) - 1 may be"),
        ([("a = eta/norm(g)", "definition")], 1, "The definition is a = min(1, eta/norm(g))"),
        ([("a = min(1, norm(g)/eta)", "definition")], 1, "The definition is a = min(1, eta/norm(g))"),
        ([G, FACTOR, UP], 3, "It needs the hypothesis eta > 0"),
        (
            [ETA, FACTOR, CLIPPED, WAY],
            4,
            "it divides by norm(g_new), and no earlier step says that "
            "norm(g_new) is not 0. See the hypotheses: g != 0, eta > 0.",
        ),
        ([ETA, FACTOR, UP], 3, "a may be 0 or negative. It needs the hypothesis g != 0"),
        ([ETA, FACTOR, UP, G], 3, "It needs the hypothesis g != 0: state it as a step before this one"),
        ([G, ETA, LONG, FACTOR, (*UP, 2, 4)], 5, "It needs step 1 (g != 0) as well: add its number"),
        ([G, ETA, FACTOR, CLIPPED, (WAY[0], "norm")], 5, "left minus right leaves (a*norm(g) - norm(a*g))"),
        (
            [G, ETA, FACTOR, CLIPPED, ("norm(g_new) = a*norm(g)", "norm")],
            5,
            "left minus right leaves norm(a*g) - a*norm(g), and",
        ),
        ([("abs(a - eta) = a - eta", "absolute value")], 1, "and else |a - eta| is -(a - eta)"),
        ([("sqrt(-norm(g)) >= 0", "sign")], 1, "sqrt(-norm(g)) may be negative"),
        ([ETA, G, UP], 3, "It needs the definition a = min(1, eta/norm(g))"),
        ([ETA, G, FACTOR, ("a = 1", "algebra")], 4, "left minus right leaves"),
        ([("abs(a) = a", "absolute value")], 1, "no step used here says that a >= 0, and else |a| is -a"),
        ([("abs(a) = a", "algebra")], 1, "left minus right leaves"),
        ([CLIPPED, ("norm(g_new) = a*norm(g)", "norm")], 2, "left minus right leaves"),
        ([("norm(g_new) = abs(a)*norm(g)", "norm")], 1, "It needs the definition g_new = a*g"),
        ([CLIPPED, ("norm(g_new) = norm(a)*norm(g)", "norm")], 2, "(the size of a number is abs(a))"),
        ([CLIPPED, ("g_new/g = a", "algebra")], 2, "it divides by a column of n numbers"),
        ([CLIPPED, ("g_new/norm(g_new) = a*g/norm(a*g)", "substitute")], 2, "it divides by norm(g_new)"),
        ([G, CLIPPED, ("a*g/(a*norm(g)) = g/norm(g)", "algebra")], 3, "it divides by a*norm(g)"),
        ([G, ETA, CLIPPED, SCALED, WAY], 5, "it divides by norm(g_new)"),
        ([G, ETA, LONG, FACTOR, UP, CLIPPED, WAY], 7, "left minus right leaves (a*norm(g) - norm(a*g))"),
        ([G, ETA, LONG, FACTOR, UP, CLIPPED, SCALED, SIZE], 0, "none of them is the claim"),
        ([("g = 0", "hypothesis")], 1, "The hypotheses are: g != 0, eta > 0"),
        ([("eta != 0", "hypothesis")], 1, "The hypotheses are: g != 0, eta > 0"),
        ([("g > 0", "hypothesis")], 1, "`>` compares numbers; a column of n numbers came"),
        ([G, ("g_new != 0", "sign")], 2, "norm(g_new) may be 0"),
        ([("norm(g + g_new) = norm(g) + norm(g_new)", "norm")], 1, "left minus right leaves"),
    ],
    "residual_identity": [
        ([("x_bar = y_bar", "algebra")], 1, "left minus right leaves"),
        ([("x_bar = y_bar", "chain rule")], 1, "y_bar"),
        (
            [("x_bar = d(y, x)*y_bar", "chain rule")],
            1,
            "the order does not fit: an n×n matrix times a row of n numbers",
        ),
        ([("x_bar = y_bar + y_bar*d(y, x)", "chain rule")], 1, "left minus right leaves"),
        ([("x_bar = y_bar*d(x, y)", "chain rule")], 1, "the wrong way round"),
        ([("x_bar = x_bar*d(y, x)", "chain rule")], 1, "x_bar does not belong there"),
        ([BACK, ("d(y, x) = d(F(x), x)", "differentiate")], 2, "is I + d(F(x), x), not d(F(x), x)"),
        ([BACK, ("d(y, x) = 1 + d(F(x), x)", "differentiate")], 2, "I is a matrix, 1 a number"),
        ([BACK, ("d(y, x) = I", "differentiate")], 2, "is I + d(F(x), x), not I"),
        ([FLAT], 1, "it needs the hypothesis F(x) = 0, for all x. State it as a step first"),
        ([BLOCK, FORTH], 2, "It needs the hypothesis F(x) = 0"),
        ([NOTHING, (*FORTH[:1], "definition")], 2, "cannot be assumed"),
        ([NOTHING, BLOCK, FORTH, ("d(y, x) = I", "algebra")], 4, "differentiate is."),
        ([NOTHING, BLOCK, FORTH, ("d(y, x) = d(x, x)", "substitute")], 4, "differentiate is."),
        ([BLOCK, NOTHING, BACK, ("d(y, x) = I", "differentiate"), EQUAL], 4, "is I + d(F(x), x), not I"),
        (
            [BLOCK, NOTHING, FORTH, ("y = 2*x - y", "substitute"), ("d(y, x) = 2*I", "differentiate")],
            5,
            "is I + d(F(x), x), not 2*I",
        ),
        (
            [
                BLOCK,
                NOTHING,
                FORTH,
                ("y = x + F(y)", "substitute"),
                ("d(y, x) = I + d(F(y), x)", "differentiate"),
            ],
            5,
            "is I + d(F(x), x), not I + d(F(y), x)",
        ),
        ([NOTHING, ("d(F(y), y) = 0", "differentiate")], 2, "there is no definition of F(y)"),
        ([("d(y, x_bar) = 0", "differentiate")], 1, "is for columns and numbers; a row of n numbers came"),
        ([("d(y, I) = 0", "differentiate")], 1, "is a derivative by a symbol x"),
        ([("d(x, x) = 0", "differentiate")], 1, "the derivative of x by x is I, not 0"),
        ([("x_bar.T = d(y, x).T*y_bar.T", "chain rule")], 1, "alone on one side: x_bar = …"),
        ([("d(y, x) = I + d(F, x)", "differentiate")], 1, "F is a function, its brackets come first: F(…)"),
        ([BLOCK, NOTHING, FORTH], 0, "none of them is the claim x_bar = y_bar"),
        ([BACK, SLOPE, NOTHING, FLAT, EQUAL], 0, "none of them is the claim y = x"),
        ([BLOCK, NOTHING, FORTH, BACK, SLOPE, FLAT, EQUAL, NOTHING], 0, "the last one is not the claim"),
        ([("F(x) = x", "hypothesis")], 1, "The hypothesis is F(x) = 0"),
        ([("F(y) = 0", "hypothesis")], 1, "nothing of the kind is given"),
        ([("y = x - F(x)", "definition")], 1, "The definition is y = x + F(x)"),
        ([("x_bar = y", "algebra")], 1, "it compares a row of n numbers and a column of n numbers"),
        ([("F(x, y) = 0", "hypothesis")], 1, "F takes 1, not 2"),
    ],
}


@pytest.mark.parametrize(("name", "steps"), [(name, steps) for name, many in RIGHT.items() for steps in many])
def test_right_proofs_pass(name, steps):
    report = check(name, steps)
    assert report.passed, str(report)


@pytest.mark.parametrize(
    ("name", "steps", "number", "words"), [(name, *one) for name, many in WRONG.items() for one in many]
)
def test_wrong_proofs_fail_where_they_are_wrong(name, steps, number, words):
    report = check(name, steps)
    assert not report.passed
    assert words in report.message
    wrong = [step.number for step in report.steps if not step.right]
    assert wrong[:1] == ([number] if number else [])
