"""Wrong answers to the exercises on backpropagation through time, and what they are told."""

import numpy as np
import pytest

from vglib.course.checks.bptt import _second_order, _second_order_mistaken
from vglib.course.checks.compare import derivatives


def chain(w, h0, x, y, way="right"):
    """Return the gradient as the solution does, with one mistake."""
    states = [h0]
    for x_t in x:
        states.append(w * np.tanh(states[-1]) + x_t)
    gradient = back = 0.0
    for t in reversed(range(len(x))):
        error = states[t + 1] - y[t] if way != "last" or t == len(x) - 1 else 0.0
        total = error + (0.0 if way == "direct" else back)
        gradient += total * np.tanh(states[t + (way == "late share")])
        slope = 1 - (states[t] if way == "of a tanh" else np.tanh(states[t + (way == "late slope")])) ** 2
        back = total * slope * (1.0 if way == "no w" else w)
    return gradient


def nudged(w, h0, x, y, step=1e-4):
    def loss(w):
        h, total = h0, 0.0
        for x_t, y_t in zip(x, y, strict=True):
            h = w * np.tanh(h) + x_t
            total += 0.5 * (h - y_t) ** 2
        return total

    return (loss(w + step) - loss(w - step)) / (2 * step)


def chain_but(way):
    return lambda *inputs: chain(*inputs, way)


def second(kind=None, change=None):
    def answer(W, V, U, b, x, d_h):
        options = kind(W, V) if callable(kind) else kind or {}
        grads = list(_second_order_mistaken((W, V, U, b, x), d_h, **options))
        return change(grads, x) if change else grads

    return answer


def shifted(grads, x):
    """Let V meet the state that W meets."""
    return [grads[0], grads[0], *grads[2:]]


def once_more(grads, x):
    """Let U meet the first input, turned round, at every step, on top of its own."""
    return [*grads[:2], grads[2] + np.outer(grads[3], x[0, ::-1]), grads[3]]


def at_the_end(W, V, U, b, x, d_h):
    d_h[:-1] = 0.0
    return second()(W, V, U, b, x, d_h)


def far(way):
    def far_share(shares, q):
        steps, whole = len(shares), shares.sum(axis=0)
        part = {
            "near": shares[steps - q :],
            "one less": shares[: max(0, steps - q - 1)],
            "one more": shares[: steps - q + 1],
            "other end": shares[q:],
            "minus": shares[:-q] if way == "minus" and q else shares[:0],
        }.get(way, shares[: steps - q])
        part = part.sum(axis=0)
        if way == "lengths":
            return np.linalg.norm(part) / np.linalg.norm(whole)
        if way == "itself":
            return np.sum(part**2) / np.sum(whole**2)
        divisors = {"undivided": 1.0, "length": np.linalg.norm(whole)}
        return np.sum(part * whole) / divisors.get(way, np.sum(whole**2))

    return far_share


def forgotten(rule):
    def forgotten_after(shares):
        whole = shares.sum(axis=0)
        parts = np.einsum("kij,ij->k", shares, whole) / np.sum(whole**2)
        return rule([parts[: len(parts) - q].sum() for q in range(len(parts) + 1)])

    return forgotten_after


def after_the_last(share):
    return 1 + max(q for q, s in enumerate(share) if abs(s) >= 0.01)


def fused(way="right"):
    """Return both results by a loop, with one mistake."""

    def direction(weights, suffix, x, d):
        W_ih, W_hh, b_ih, b_hh = (
            weights[f"{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = [np.zeros_like(d[0])]
        for x_t in x:
            h.append(np.tanh(x_t @ W_ih.T + h[-1] @ W_hh.T + b_ih + b_hh))
        delta, total, back = np.zeros_like(d), np.zeros_like(d), 0.0
        for t in reversed(range(len(x))):
            total[t] = d[t] + back
            delta[t] = total[t] * (1 - h[t + 1] ** 2)
            back = delta[t] @ W_hh
        d_hidden = d.copy()
        if way == "same step":
            d_hidden += delta @ W_hh
        else:
            d_hidden[:-1] += delta[1:] @ (W_hh.T if way == "transposed" else W_hh)
        return delta, d_hidden, d * (1 - np.array(h[1:]) ** 2) if way == "only direct" else delta

    def fused_signals(weights, x, d_outputs):
        n = d_outputs.shape[-1] // 2
        one = direction(weights, "", x, d_outputs[..., :n])
        two = [part[::-1] for part in direction(weights, "_reverse", x[::-1], d_outputs[::-1, :, n:])]
        delta, d_hidden, other = (np.concatenate(pair, axis=-1) for pair in zip(one, two, strict=True))
        if way == "both ahead":
            d_hidden = d_outputs.copy()
            d_hidden[:-1, :, :n] += delta[1:, :, :n] @ weights["weight_hh_l0"]
            d_hidden[:-1, :, n:] += delta[1:, :, n:] @ weights["weight_hh_l0_reverse"]
        return {
            "direct": (d_outputs, d_outputs),
            "hidden": (d_hidden, d_hidden),
            "retained": (delta, d_outputs),
            "returned": (delta, d_hidden - d_outputs),
            "delta twice": (delta, delta),
            "shared zeros": (delta[..., :n] + delta[..., n:], d_hidden),
            "swapped": (np.roll(delta, n, axis=-1), d_hidden),
            "only direct": (other, d_hidden),
            "one": delta,
        }.get(way, (delta, d_hidden))

    return fused_signals


WRONG = [
    ("chain-gradient", chain_but("direct"), "the direct part alone"),
    ("chain-gradient", chain_but("last"), "gradient of the last term"),
    ("chain-gradient", chain_but("late slope"), "its slope is taken at h_1"),
    ("chain-gradient", chain_but("no w"), "it has w in it"),
    ("chain-gradient", chain_but("late share"), "no way back yet"),
    ("chain-gradient", lambda *inputs: -chain(*inputs), "all is right but the sign"),
    ("chain-gradient", lambda *inputs: chain(*inputs) / len(inputs[2]), "a mean over steps"),
    ("chain-gradient", chain_but("of a tanh"), "not 1 − h_1²"),
    ("chain-gradient", nudged, "A finite difference"),
    ("second-order-backward", second(lambda W, V: {"V_back": 0 * V}), "the road by V is missing"),
    ("second-order-backward", second(lambda W, V: {"W_back": 0 * W}), "the road by W is missing"),
    ("second-order-backward", second(lambda W, V: {"W_back": 0 * W, "V_back": 0 * V}), "direct part alone"),
    ("second-order-backward", second(lambda W, V: {"W_back": W, "V_back": V}), "W and V are transposed"),
    ("second-order-backward", second(lambda W, V: {"W_back": V.T, "V_back": W.T}), "are swapped"),
    ("second-order-backward", second({"lag": 1}), "one step too early"),
    ("second-order-backward", second({"lag": 3}), "one step too late"),
    ("second-order-backward", at_the_end, "only the loss at the last state"),
    ("second-order-backward", second(change=lambda g, x: [one / len(x) for one in g]), "the mean over steps"),
    ("second-order-backward", second(change=once_more), "What does this weight meet"),
    ("second-order-backward", second({"slope": None}), "is missing in δ"),
    ("second-order-backward", second({"slope": -1}), "or it is taken at h_t"),
    ("second-order-backward", second(change=shifted), "db is right, so δ is too"),
    ("second-order-backward", second(change=lambda g, x: g[:3]), "3 came"),
    ("second-order-backward", second(change=lambda g, x: [g[0].T, *g[1:]]), "dW: this is the transpose"),
    ("far-share", far("near"), "near share"),
    ("far-share", far("one less"), "step T − 1 − q is far, too"),
    ("far-share", far("one more"), "lies q − 1 steps back"),
    ("far-share", far("other end"), "wrong end"),
    ("far-share", far("minus"), "With q = 0 all of it is"),
    ("far-share", far("lengths"), "ratio of lengths"),
    ("far-share", far("itself"), "Project it on the whole"),
    ("far-share", far("undivided"), "divide by the whole"),
    ("far-share", far("length"), "not by the length"),
    ("far-share", lambda g, q: far("right")(g, q) if q < len(g) else np.nan, "Nothing is as far as that"),
    ("far-share", lambda shares, q: abs(far("right")(shares, q)), "a share may be negative"),
    ("far-share", lambda shares, q: np.sum(shares[: len(shares) - q]) / np.sum(shares), "over all entries"),
    ("forgotten-after", forgotten(lambda s: next(q for q, v in enumerate(s) if abs(v) < 0.01)), "comes back"),
    ("forgotten-after", forgotten(lambda s: 1 + max(q for q, v in enumerate(s) if v >= 0.01)), "by its size"),
    ("forgotten-after", forgotten(lambda s: after_the_last(s) - 1), "Too small"),
    ("forgotten-after", forgotten(lambda s: min(len(s) - 1, after_the_last(s) + 1)), "Too large"),
    ("forgotten-after", forgotten(lambda s: len(s) - 1 - after_the_last(s)), "counted from the start"),
    ("forgotten-after", lambda shares: 7, "q = 7: Too small"),
    ("forgotten-after", lambda shares: 7.5, "a whole number"),
    ("fused-signals", fused("direct"), "this is the direct derivative"),
    ("fused-signals", fused("hidden"), "delta has the slope of tanh in it"),
    ("fused-signals", fused("only direct"), "only the direct part is in it"),
    ("fused-signals", fused("shared zeros"), "zero inputs of its own"),
    ("fused-signals", fused("swapped"), "the halves are swapped"),
    ("fused-signals", fused("retained"), "what retain_grad() shows"),
    ("fused-signals", fused("returned"), "direct derivative is missing"),
    ("fused-signals", fused("transposed"), "W_hh is transposed"),
    ("fused-signals", fused("same step"), "off by one"),
    ("fused-signals", fused("both ahead"), "the second half reads from the end"),
    ("fused-signals", fused("delta twice"), "this is delta"),
    ("fused-signals", fused("one"), "two arrays"),
]
RIGHT = {
    "chain_gradient": chain,
    "second_order_backward": second(),
    "far_share": far("right"),
    "forgotten_after": forgotten(after_the_last),
    "fused_signals": fused(),
}


@pytest.mark.parametrize(("task", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(task, answer, words, told):
    assert words in told("bptt", task, {task.replace("-", "_"): answer})


@pytest.mark.parametrize("function", RIGHT)
def test_the_right_way_passes(function, passes):
    assert passes("bptt", function.replace("_", "-"), RIGHT)


def test_both_signals_may_come_as_one_array(passes):
    assert passes("bptt", "fused-signals", {"fused_signals": lambda *given: np.stack(fused()(*given))})


def test_two_roads_without_a_mistake_are_the_derivative():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in ((3, 3), (3, 3), (3, 2), (3,), (6, 2))]
    d_h = rng.normal(size=(6, 3))
    want = derivatives(lambda *weights: _second_order(*weights, arrays[4]), arrays[:4], d_h)
    for got, right in zip(_second_order_mistaken(arrays, d_h), want, strict=True):
        np.testing.assert_allclose(got, right, atol=1e-12)
