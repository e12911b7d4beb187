"""Cross-entropy against PyTorch and complex-step derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base.losses import cross_entropy


def plain(logits, labels):
    """Return the textbook loss; only safe for small logits."""
    p = np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(len(labels)), labels]))


@given(count=st.integers(1, 6), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_value_and_derivative(backend, dtype, oracle, count, classes, seed):
    draw = np.random.default_rng(seed)
    logits = backend.array(draw.normal(size=(count, classes)), dtype)
    labels = draw.integers(classes, size=count)
    loss, d_logits = cross_entropy(logits, backend.array(labels, "int64"))
    values = backend.numpy(logits)
    backend.check(loss, plain(values, labels), dtype, scale=1)
    backend.check(d_logits, oracle.complex_step(lambda z: plain(z, labels), values), dtype, scale=1)


@pytest.mark.parametrize("spread", [1.0, 100.0, 3000.0])
@pytest.mark.parametrize("integers", ["int64", "int32", "uint8"])
def test_equals_torch_also_for_huge_logits(torch, backend, dtype, spread, integers):
    draw = np.random.default_rng(0)
    logits = backend.array(draw.normal(size=(7, 5)) * spread, dtype)
    labels = draw.integers(5, size=7)
    leaf = torch.tensor(backend.numpy(logits), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels))
    expected.backward()
    loss, d_logits = cross_entropy(logits, backend.array(labels, integers))
    backend.check(loss, expected.item(), dtype)
    backend.check(d_logits, leaf.grad.numpy(), dtype)


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        ([[0.0, 1.0]], np.array([0]), TypeError, "logits must be an array.*got list"),
        (np.zeros((2, 3)), [0, 1], TypeError, "labels must be an array.*got list"),
        (np.zeros(3), np.array([0]), ValueError, r"logits must have shape \(N, C\); got \(3,\)"),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "logits .*N is empty"),
        (np.zeros((2, 3), int), np.array([0, 1]), TypeError, "logits's dtype must be one of .*got int64"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), TypeError, "labels must be an integer array.*got float64"),
        (np.zeros((2, 3)), np.array([True, False]), TypeError, "labels must be an integer array.*got bool"),
        (np.zeros((2, 3)), np.array([0]), ValueError, r"labels must have shape \(N=2,\); got \(1,\)"),
        (np.zeros((2, 3)), np.array([0, 3]), ValueError, "labels must lie in 0 … C−1 = 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), ValueError, "labels must lie in 0 … C−1 = 2"),
    ],
)
def test_bad_input(logits, labels, error, message):
    with pytest.raises(error, match=message):
        cross_entropy(logits, labels)


def test_labels_of_another_library(torch):
    with pytest.raises(TypeError, match="labels must be an integer array of the library of logits"):
        cross_entropy(np.zeros((1, 2)), torch.tensor([0]))
