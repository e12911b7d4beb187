"""The drawn minibatches: adding, copying, recalling the first symbol."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base.data import adding, copying, first_symbol

TASKS = {"adding": adding, "copying": copying, "first_symbol": first_symbol}


@pytest.fixture(params=TASKS)
def task(request):
    """Each task in turn."""
    return TASKS[request.param]


def test_a_minibatch_needs_none_before_it(task):
    before = [task(30, 4, seed=2, index=i) for i in range(8)]
    alone = task(30, 4, seed=2, index=7)
    np.testing.assert_array_equal(alone.x, before[7].x)
    np.testing.assert_array_equal(alone.target, before[7].target)


def test_minibatches_differ_by_index_and_seed(task):
    # seed 0 with number 1 and seed 1 with number 0 must not be one: seeds would share their data.
    drawn = [task(30, 4, seed=s, index=i).x.tobytes() for s in (0, 1, 2**40) for i in (0, 1, 2, 2**40)]
    assert len(set(drawn)) == len(drawn)


def test_no_global_state_is_read_or_changed(task):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    task(10, 2)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_the_same_under_every_library(task, backend, dtype):
    expected = task(20, 3, seed=1, index=5)
    drawn = task(20, 3, seed=1, index=5, xp=backend.xp, device=backend.device, dtype=dtype)
    backend.check(drawn.x, expected.x, dtype)
    if task is adding:
        backend.check(drawn.target, expected.target, dtype)
    else:
        assert drawn.target.dtype == backend.xp.int64
        assert drawn.target.device == drawn.x.device
        np.testing.assert_array_equal(backend.numpy(drawn.target), expected.target)


def test_half_precision_under_torch(task, torch):
    assert task(10, 2, xp=torch, dtype="bfloat16").x.dtype is torch.bfloat16


@given(steps=st.integers(2, 40), batch=st.integers(1, 5), index=st.integers(0, 10**6))
def test_adding_marks_one_step_in_each_half_and_adds_them(steps, batch, index):
    drawn = adding(steps, batch, index=index)
    assert drawn.x.shape == (steps, batch, 2)
    values, marks = drawn.x[..., 0], drawn.x[..., 1]
    assert set(np.unique(marks)) <= {0.0, 1.0}
    np.testing.assert_array_equal(marks[: steps // 2].sum(axis=0), np.ones(batch))
    np.testing.assert_array_equal(marks[steps // 2 :].sum(axis=0), np.ones(batch))
    assert ((values >= 0) & (values <= 1)).all()
    for b in range(batch):
        marked = [values[t, b] for t in range(steps) if marks[t, b] == 1]
        assert drawn.target[b] == sum(marked)


def test_adding_has_the_distribution_that_it_says():
    batch = 40_000
    drawn = adding(7, batch)
    # Moments of U[0, 1] within five standard errors: mean ½, variance 1/12, fourth central moment 1/80.
    values = drawn.x[..., 0]
    assert abs(values.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / values.size)
    assert abs(values.var() - 1 / 12) < 5 * math.sqrt((1 / 80 - 1 / 144) / values.size)
    # Every step of a half is marked as often as another: 3 in the first, 4 in the second.
    share = drawn.x[..., 1].mean(axis=1)
    for expected, found in zip([1 / 3] * 3 + [1 / 4] * 4, share, strict=True):
        assert abs(found - expected) < 5 * math.sqrt(expected * (1 - expected) / batch)
    # The baseline is what the answer 1 costs; (u + v − 1)² has mean 1/6, fourth moment 1/15.
    errors = (drawn.target - 1) ** 2
    assert drawn.baseline == pytest.approx(1 / 6)
    assert abs(errors.mean() - drawn.baseline) < 5 * math.sqrt((1 / 15 - 1 / 36) / batch)
    # No other constant is better, and the sum is not seen in the numbers before the marks are.
    assert ((drawn.target - 0.9) ** 2).mean() > errors.mean()
    assert abs(np.corrcoef(values.mean(axis=0), drawn.target)[0, 1] - math.sqrt(2 / 7)) < 0.03


@given(
    steps=st.integers(1, 20), batch=st.integers(1, 4), symbols=st.integers(2, 9), length=st.integers(1, 12)
)
def test_copying_is_laid_out_as_published(steps, batch, symbols, length):
    drawn = copying(steps, batch, symbols=symbols, length=length)
    assert drawn.x.shape == (steps + 2 * length, batch, symbols + 2)
    assert drawn.target.shape == (steps + 2 * length, batch)
    np.testing.assert_array_equal(np.sort(drawn.x, axis=-1)[..., :-1], 0)
    np.testing.assert_array_equal(drawn.x.sum(axis=-1), 1)
    for b in range(batch):
        read, said = drawn.x[:, b].argmax(axis=-1).tolist(), drawn.target[:, b].tolist()
        text = read[:length]
        assert all(0 <= symbol < symbols for symbol in text)
        assert read == text + [drawn.blank] * (steps - 1) + [drawn.go] + [drawn.blank] * length
        assert said == [drawn.blank] * (steps + length) + text
    assert (drawn.blank, drawn.go) == (symbols, symbols + 1)


def test_copying_in_the_usual_sizes():
    drawn = copying(100, 20)
    assert drawn.x.shape == (120, 20, 10)
    assert drawn.target.shape == (120, 20)
    assert drawn.baseline == pytest.approx(10 * math.log(8) / 120)
    assert copying(1000, 2).baseline == pytest.approx(0.020387, abs=1e-6)


def test_copying_symbols_are_equally_likely_and_independent():
    drawn = copying(1, 20_000)
    text = drawn.target[-10:]
    counts = np.stack([np.bincount(row, minlength=8) for row in text]) / text.shape[1]
    assert np.abs(counts - 1 / 8).max() < 5 * math.sqrt(1 / 8 * 7 / 8 / text.shape[1])
    same = (text[1:] == text[:-1]).mean()
    assert abs(same - 1 / 8) < 5 * math.sqrt(1 / 8 * 7 / 8 / text[1:].size)


def test_copying_baseline_is_the_loss_of_who_knows_when_but_not_what(torch):
    drawn = copying(30, 50, xp=torch)
    logits = torch.full((50, 50, 9), -1e9, dtype=torch.float64)
    logits[:40, :, 8] = 0.0  # sure of the blank
    logits[40:, :, :8] = 0.0  # each symbol alike
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 9), drawn.target.reshape(-1))
    assert drawn.baseline == pytest.approx(float(loss))


@given(
    steps=st.integers(1, 20), batch=st.integers(1, 4), symbols=st.integers(2, 9), fillers=st.integers(1, 9)
)
def test_first_symbol_comes_first_and_only_there(steps, batch, symbols, fillers):
    drawn = first_symbol(steps, batch, symbols=symbols, fillers=fillers)
    assert drawn.x.shape == (steps, batch, symbols + fillers)
    assert drawn.target.shape == (batch,)
    np.testing.assert_array_equal(np.sort(drawn.x, axis=-1)[..., :-1], 0)
    np.testing.assert_array_equal(drawn.x.sum(axis=-1), 1)
    read = drawn.x.argmax(axis=-1)
    np.testing.assert_array_equal(read[0], drawn.target)
    assert (read[0] < symbols).all()
    assert (read[1:] >= symbols).all()


def test_first_symbol_has_the_distribution_that_it_says():
    batch = 20_000
    drawn = first_symbol(6, batch, symbols=4, fillers=3)
    read = drawn.x.argmax(axis=-1)
    for row, first, count in ((read[0], 0, 4), *((row, 4, 3) for row in read[1:])):
        share = np.bincount(row - first, minlength=count) / batch
        assert np.abs(share - 1 / count).max() < 5 * math.sqrt(1 / count * (1 - 1 / count) / batch)
    # No filler tells of the symbol, nor of the filler before it.
    for one, other in itertools.pairwise(read):
        table = np.histogram2d(one, other, bins=(np.arange(8), np.arange(8)))[0] / batch
        expected = np.outer(table.sum(axis=1), table.sum(axis=0))
        assert np.abs(table - expected).max() < 5 * math.sqrt(1 / 9 / batch)


def test_first_symbol_baseline_is_the_loss_of_who_has_forgotten(torch):
    drawn = first_symbol(5, 50, xp=torch, symbols=6)
    loss = torch.nn.functional.cross_entropy(torch.zeros((50, 6), dtype=torch.float64), drawn.target)
    assert drawn.baseline == pytest.approx(float(loss))


@pytest.mark.parametrize("parameter", ["steps", "batch", "seed", "index"])
def test_numbers_that_do_not_fit(task, parameter):
    good = {"steps": 20, "batch": 2, "seed": 0, "index": 0}
    for value in (2.0, "3", None, True, [4]):
        with pytest.raises(TypeError, match=rf"^{parameter} must be an integer; got"):
            task(**{**good, parameter: value})
    low = {"steps": 2 if task is adding else 1, "batch": 1, "seed": 0, "index": 0}[parameter]
    with pytest.raises(ValueError, match=rf"^{parameter} must be at least {low}; got {low - 1}"):
        task(**{**good, parameter: low - 1})
    task(**{**good, parameter: np.int64(low)})


@pytest.mark.parametrize(
    ("task", "parameter", "low"),
    [
        (copying, "symbols", 2),
        (copying, "length", 1),
        (first_symbol, "symbols", 2),
        (first_symbol, "fillers", 1),
    ],
)
def test_sizes_of_one_task_that_do_not_fit(task, parameter, low):
    for value in (8.0, "8", None, True):
        with pytest.raises(TypeError, match=rf"^{parameter} must be an integer; got"):
            task(10, 2, **{parameter: value})
    with pytest.raises(ValueError, match=rf"^{parameter} must be at least {low}; got {low - 1}"):
        task(10, 2, **{parameter: low - 1})


def test_places_that_do_not_exist(task, torch):
    with pytest.raises(TypeError, match="dtype must be one of float32, float64; got int64"):
        task(10, 2, dtype="int64")
    with pytest.raises(TypeError, match=r"dtype must be .*half precision needs torch"):
        task(10, 2, dtype="float16")
    with pytest.raises(TypeError, match="xp must be an array module"):
        task(10, 2, xp="torch")
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)device"):
        task(10, 2, xp=torch, device="nowhere")


def test_they_say_what_they_are():
    assert repr(adding(10, 2)) == "Adding(x (10, 2, 2), target (2,))"
    assert repr(copying(10, 2)) == "Copying(x (30, 2, 10), target (30, 2))"
    assert repr(first_symbol(10, 2)) == "FirstSymbol(x (10, 2, 16), target (2,))"
