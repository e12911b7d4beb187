"""Lags at which a format loses a product, against the format itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base.precision import FORMATS, precision_lags

FACTORS = [0.3, 0.5, 0.75, 0.9, 0.99, 1.1, 2.0]
# Enough for 0.99 in each format.
LONGEST = {"float16": 2_500, "bfloat16": 30_000, "float32": 30_000, "float64": 100_000}


def events(values, tiny):
    """Return the events of a list of values, 1 first, as the definitions say them."""
    leaves = next((n for n, v in enumerate(values) if v < tiny), None)
    zero = next((n for n, v in enumerate(values) if v == 0), None)
    overflows = next((n for n, v in enumerate(values) if math.isinf(v)), None)
    sticks = next((n for n, (v, w) in enumerate(pairwise(values)) if v == w), None)
    if sticks in (zero, overflows):
        sticks = None
    return leaves, sticks, None if sticks is None else values[sticks], zero, overflows


def numpy_values(factor, dtype):
    """Multiply NumPy scalars until nothing changes."""
    kind = getattr(np, dtype)
    with np.errstate(over="ignore", under="ignore"):
        scale, values = abs(kind(factor)), [kind(1)]
        while len(values) < LONGEST[dtype]:
            values.append(values[-1] * scale)
            assert values[-1].dtype == dtype
            if values[-1] == values[-2]:
                break
    return [float(v) for v in values], float(np.finfo(dtype).smallest_normal)


def torch_values(torch, factor, dtype):
    kind = getattr(torch, dtype)
    scale, values = torch.tensor(abs(factor), dtype=kind), [torch.tensor(1.0, dtype=kind)]
    while len(values) < LONGEST[dtype]:
        values.append(values[-1] * scale)
        if values[-1] == values[-2]:
            break
    return [v.item() for v in values], torch.finfo(kind).smallest_normal


def found(factor, dtype):
    lags = precision_lags(factor, dtype)
    assert lags.dtype == dtype
    return lags.leaves_normal, lags.sticks, lags.stuck_at, lags.zero, lags.overflows


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equals_the_loop_in_numpy(factor, dtype):
    assert found(factor, dtype) == events(*numpy_values(factor, dtype))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_equals_the_loop_in_torch(torch, factor, dtype):
    assert found(factor, dtype) == events(*torch_values(torch, factor, dtype))


@given(factor=st.floats(-0.98, 0.98) | st.floats(1.02, 1e6) | st.sampled_from([0.0, 1.0, -1.0]))
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_equals_the_loop_for_any_factor(factor, dtype):
    assert found(factor, dtype) == events(*numpy_values(factor, dtype))


@given(factor=st.floats(-0.98, 0.98) | st.floats(1.02, 1e6))
def test_equals_the_loop_in_bfloat16_for_any_factor(torch, factor):
    assert found(factor, "bfloat16") == events(*torch_values(torch, factor, "bfloat16"))


@given(value=st.floats(allow_nan=False))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_round_equals_numpy(value, dtype):
    with np.errstate(over="ignore", under="ignore"):
        assert FORMATS[dtype].round(value) == float(getattr(np, dtype)(value))


@given(value=st.floats(-3e38, 3e38))
def test_round_equals_torch_in_bfloat16(torch, value):
    # Through a float32 that is exact: torch rounds from float64 twice.
    value = float(np.float32(value))
    assert FORMATS["bfloat16"].round(value) == torch.tensor(value).to(torch.bfloat16).item()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_formats_equal_finfo(dtype):
    info = np.finfo(dtype)
    assert FORMATS[dtype].tiny == float(info.smallest_normal)
    assert FORMATS[dtype].smallest == float(info.smallest_subnormal)


def test_a_factor_above_one_half_sticks_and_never_reaches_zero():
    for dtype, form in FORMATS.items():
        lags = precision_lags(0.9, dtype)
        assert lags.zero is None
        assert lags.stuck_at in (4 * form.smallest, 5 * form.smallest)  # 4.5 is rounded to 4 where 0.9 is 0.9
        assert lags.leaves_normal < lags.sticks
        assert precision_lags(0.49, dtype).zero > precision_lags(0.49, dtype).leaves_normal


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_factor_too_large_for_the_format_overflows_at_once(dtype):
    assert precision_lags(1e300, dtype).overflows == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.9, "float8"), "dtype must be one of 'float16', 'bfloat16', 'float32', 'float64'; got 'float8'"),
        ((0.9, np.float32), "dtype must be one of .*got <class"),
        ((math.inf,), "factor must be finite; got inf"),
        ((math.nan,), "factor must be finite; got nan"),
        ((0.9, "float64", 10), "factor 0.9 in float64: nothing has happened by lag 10; raise max_lag"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        precision_lags(*arguments)
