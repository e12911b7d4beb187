"""What is to be proved, as data: symbols, definitions, who reads whom, hypotheses, claims, rules.

A theorem is added here and needs no new code as long as its rules are in `vglib.course.proofs.rules`; its
numbers are drawn in `vglib.course.proofs.worlds`.
"""

from __future__ import annotations

from vglib.course.proofs.theory import Fact, Symbol, Theorem

__all__ = ["THEOREMS", "find"]

_C = ("n", "1")
_R = ("1", "n")

_LSTM = Theorem(
    "lstm_passthrough",
    "An LSTM's cell passes a gradient through",
    "One unit of an LSTM, since the cell's equations act unit by unit. The gates `f`, `i`, `g`, `o` at step "
    "t+1 read `h[t]` and the input, and no cell state (no peepholes). The loss reads the outputs `h`. So "
    "`c[t]` has two readers, `c[t+1]` and `h[t]`; and all that reads `h[t]`, the gates at t+1 and the loss, "
    "is counted in `h_bar[t]`.",
    "`d(h[t], c[t])` is the local derivative of `h[t]` by `c[t]`, with all else that `h[t]` reads held "
    "fixed; `*` is a product, `^2` a square, `tanh(c[t])` the function.",
    {
        "c": Symbol("the cell's state", timed=True),
        "h": Symbol("its output", timed=True),
        "f": Symbol("forget gate", timed=True),
        "i": Symbol("input gate", timed=True),
        "g": Symbol("candidate", timed=True),
        "o": Symbol("output gate", timed=True),
        "c_bar": Symbol("total derivative of the loss by `c[t]`; `c̄[t]` will do", timed=True),
        "h_bar": Symbol("total derivative of the loss by `h[t]`", timed=True),
        # For those who write down a path through the gates.
        **{f"{gate}_bar": Symbol("total derivative by a gate", timed=True, spare=True) for gate in "figo"},
    },
    (
        Fact("c[t+1] = f[t+1]*c[t] + i[t+1]*g[t+1]", "at every step", True),
        Fact("h[t] = o[t]*tanh(c[t])", "at every step", True),
    ),
    (Fact("f[t+1] = 1"), Fact("o[t] = 0"), Fact("i[t+1] = 0")),
    (Fact("c_bar[t] = c_bar[t+1]"),),
    ("definition", "hypothesis", "chain rule", "differentiate", "substitute", "algebra"),
    readers={"c": (("c", 1), ("h", 0))},
    elsewhere="The gates at t+1 read h[t], not c[t]: their path goes through h[t] and is in h_bar[t].",
)

_GRU = Theorem(
    "gru_path",
    "A GRU that keeps everything passes a gradient through",
    "A GRU with one unit, in PyTorch's form. `h[t]` has five readers: `h[t+1]`, directly; the gates `z[t+1]` "
    "and `r[t+1]`; the candidate `n[t+1]`; and the output `y[t]`, which is all that the loss sees of the "
    "unit at step t. `z[t+1]` and `n[t+1]` are read by `h[t+1]` alone, `r[t+1]` by `n[t+1]` alone. Of σ "
    "nothing is used but its slope σ′ = σ(1 − σ); `z[t+1] = 1` is its limit, a gate wide open. (In a layer "
    "of many units each gate reads them all, so that the same holds once *all* of them keep.)",
    "`d(n[t+1], h[t])` is the local derivative of `n[t+1]` by `h[t]`, with all else that `n[t+1]` reads held "
    "fixed; `*` is a product, `sigma(…)` or `σ(…)` and `tanh(…)` the functions.",
    {
        "h": Symbol("the unit's state", timed=True),
        "r": Symbol("reset gate", timed=True),
        "z": Symbol("update gate: how much of the old is kept", timed=True),
        "n": Symbol("candidate", timed=True),
        "y": Symbol("the output that the loss reads", timed=True),
        "x_r": Symbol("what the reset gate gets from the input, bias included; so `x_z`, `x_n`", timed=True),
        "x_z": Symbol("see `x_r`", timed=True, spare=True),
        "x_n": Symbol("see `x_r`", timed=True, spare=True),
        "u_r": Symbol("the reset gate's weight for `h`; so `u_z`, `u_n`"),
        "u_z": Symbol("see `u_r`", spare=True),
        "u_n": Symbol("see `u_r`", spare=True),
        "b_n": Symbol("the candidate's bias within the brackets"),
        "h_bar": Symbol("total derivative of the loss by `h[t]`; `h̄[t]` will do", timed=True),
        "y_bar": Symbol("total derivative of the loss by `y[t]`; so `r_bar`, `z_bar`, `n_bar`", timed=True),
        **{f"{gate}_bar": Symbol("total derivative by a gate", timed=True, spare=True) for gate in "rzn"},
    },
    (
        Fact("r[t+1] = sigma(x_r[t+1] + u_r*h[t])", "at every step", True),
        Fact("z[t+1] = sigma(x_z[t+1] + u_z*h[t])", "at every step", True),
        Fact("n[t+1] = tanh(x_n[t+1] + r[t+1]*(u_n*h[t] + b_n))", "at every step", True),
        Fact("h[t+1] = (1 - z[t+1])*n[t+1] + z[t+1]*h[t]", "at every step", True),
        Fact("y[t] = h[t]", "at every step", True),
    ),
    (Fact("z[t+1] = 1"), Fact("r[t+1] = 0")),
    (Fact("h_bar[t] = h_bar[t+1] + y_bar[t]"),),
    ("definition", "hypothesis", "chain rule", "differentiate", "substitute", "algebra"),
    readers={
        "h": (("h", 1), ("z", 1), ("r", 1), ("n", 1), ("y", 0)),
        "n": (("h", 0),),
        "z": (("h", 0),),
        "r": (("n", 0),),
    },
    elsewhere="Whatever comes after a reader is in its total derivative.",
)

_ORTHOGONAL = Theorem(
    "orthogonal_norm",
    "A matrix with orthonormal columns keeps lengths",
    "Q has m rows and n columns and need not be square, so QᵀQ is n×n and QQᵀ is m×m. Order counts.",
    "`*` is every product, `Q.T` or `Qᵀ` the transpose, `norm(x)` or `‖x‖` the length, `I` the identity.",
    {"Q": Symbol("a matrix, m×n", ("m", "n")), "x": Symbol("a column of n numbers", _C)},
    (),
    (Fact("Q.T*Q = I"),),
    (Fact("norm(Q*x) = norm(x)"),),
    ("hypothesis", "norm", "transpose", "substitute", "algebra", "sign", "square root"),
)

_CLIPPING = Theorem(
    "clipping_direction",
    "Clipping by norm keeps the direction",
    "A gradient g is multiplied by one number a. Whoever divides has to know that it is not by 0.",
    "`*` is a product, `norm(g)` or `‖g‖` the length of a vector, `abs(a)` or `|a|` the size of a number.",
    {
        "g": Symbol("a gradient, n numbers", _C),
        "g_new": Symbol("the clipped gradient; `g'` will do", _C),
        "a": Symbol("the factor"),
        "eta": Symbol("the threshold; `η` will do"),
    },
    (Fact("a = min(1, eta/norm(g))"), Fact("g_new = a*g")),
    (Fact("g != 0"), Fact("eta > 0")),
    (Fact("g_new/norm(g_new) = g/norm(g)"),),
    ("definition", "hypothesis", "norm", "sign", "absolute value", "substitute", "algebra", "square root"),
)

_RESIDUAL = Theorem(
    "residual_identity",
    "A residual block that does nothing is the identity, both ways",
    "`x` and `y` are columns of n numbers and total derivatives of the loss are rows, so order counts in "
    "products. Nothing but `y` reads `x`.",
    "`d(y, x)` is the local derivative ∂y/∂x, an n×n matrix; `*` is every product, `I` the identity.",
    {
        "x": Symbol("what comes in", _C),
        "y": Symbol("what goes out", _C),
        "x_bar": Symbol("total derivative of the loss by x, a row; `x̄` will do", _R),
        "y_bar": Symbol("total derivative of the loss by y, a row; `ȳ` will do", _R),
    },
    (Fact("y = x + F(x)", "for all x", True),),
    (Fact("F(x) = 0", "for all x", True),),
    (Fact("y = x"), Fact("x_bar = y_bar")),
    ("definition", "hypothesis", "chain rule", "differentiate", "substitute", "algebra"),
    functions=("F",),
    readers={"x": (("y", 0),)},
    elsewhere="Only y reads x; the path through F is inside d(y, x).",
)

_HOCHREITER = Theorem(
    "hochreiter_bound",
    "Hochreiter's bound on a gradient that went q steps back",
    "A recurrence hₜ₊₁ = φ(aₜ₊₁) with aₜ₊₁ = W hₜ + …, seen from its end, where the loss is. The "
    "message `e[q]` is the gradient by the state q steps before the last, as a column; `e[0]` is the one "
    "that comes in, and the loss reads no earlier state. One step back multiplies by the slopes of φ and by "
    "Wᵀ. The proof is by induction: the claim at 0; the claim at one q, assumed; with that the claim at q+1; "
    "and so the claim.",
    "`e[q]`, `e[q+1]`, `e[0]` are messages, `b^q` and `b^(q+1)` powers. `norm(…)` or `‖…‖` is the "
    "length of a column and of a matrix its spectral norm, the most that it stretches a column. `diag(v)` is "
    "the diagonal matrix with the entries of the column `v`, `largest(v)` the size of its largest entry.",
    {
        "e": Symbol("the message after q steps back, a column of n numbers", _C, timed=True),
        "s": Symbol("the slopes φ′ of the n units that it meets next", _C, timed=True),
        "W": Symbol("the recurrent weights, n×n", ("n", "n")),
        "gamma": Symbol("a bound of the slopes: 1 for tanh, 1/4 for σ; `γ` will do"),
        "b": Symbol("what one step back multiplies a length by at most"),
    },
    (Fact("e[q+1] = W.T*diag(s[q])*e[q]", "at every q", True), Fact("b = norm(W)*gamma")),
    (Fact("largest(s[q]) <= gamma", "at every q", True),),
    (Fact("norm(e[q]) <= b^q*norm(e[0])", "for q = 0, 1, 2, …", True),),
    (
        *("definition", "hypothesis", "algebra", "substitute", "sign", "norm inequality", "monotone"),
        *("induction hypothesis", "induction"),
    ),
    counts="q",
)

_ALL = (_LSTM, _GRU, _ORTHOGONAL, _CLIPPING, _RESIDUAL, _HOCHREITER)
THEOREMS = {theorem.name: theorem for theorem in _ALL}


def find(name: str) -> Theorem:
    """Return the theorem of that name.

    Raises
    ------
    ValueError
        There is none.
    """
    if not isinstance(name, str) or name not in THEOREMS:
        raise ValueError(f"theorem must be one of {', '.join(map(repr, THEOREMS))}; got {name!r:.60}")
    return THEOREMS[name]
