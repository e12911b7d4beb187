"""Namespaces, dtypes, checks, conversions and random streams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib import RNN, NonFiniteError
from vglib.base import arrays


def test_namespace_is_normalised(backend):
    xp = arrays.namespace(backend.array([1.0]))
    assert xp is arrays.resolve_namespace(backend.xp)
    assert xp is arrays.resolve_namespace(xp)
    # What the standard has and plain torch lacks.
    assert xp.matrix_transpose(backend.array([[1.0, 2.0]])).shape == (2, 1)


def test_resolve_namespace_defaults_to_numpy():
    assert arrays.resolve_namespace(None) is arrays.namespace(np.zeros(1))


@pytest.mark.parametrize("value", [[1.0], 1.0, None, "x", (1.0,)])
def test_namespace_refuses_what_is_no_array(value):
    with pytest.raises(TypeError, match=rf"^x must be an array .*got {type(value).__name__}"):
        arrays.namespace(value, "x")


@pytest.mark.parametrize("xp", ["numpy", 3, pytest, np.zeros(1)])
def test_resolve_namespace_refuses_what_makes_no_arrays(xp):
    with pytest.raises(TypeError, match=r"^xp must be an array module.*got"):
        arrays.resolve_namespace(xp)


def test_dtype_names_agree_between_libraries(backend, dtype):
    xp = arrays.resolve_namespace(backend.xp)
    for given_as in (dtype, getattr(np, dtype), np.dtype(dtype), getattr(backend.xp, dtype)):
        assert arrays.resolve_dtype(xp, given_as) == getattr(backend.xp, dtype)
        assert arrays.dtype_name(given_as) == dtype


@pytest.mark.parametrize("name", ["int64", "complex128", "float16", "bfloat16", "double", 32, None, bool])
def test_resolve_dtype_refuses_what_numpy_is_not_computed_in(name):
    with pytest.raises(TypeError, match=r"^dtype must be one of float32, float64") as error:
        arrays.resolve_dtype(arrays.resolve_namespace(np), name)
    assert ("needs torch" in str(error.value)) == (name in ("float16", "bfloat16"))


def test_half_precision_is_torch_only(torch):
    xp = arrays.resolve_namespace(torch)
    assert arrays.resolve_dtype(xp, "float16") is torch.float16
    assert arrays.resolve_dtype(xp, torch.bfloat16) is torch.bfloat16
    with pytest.raises(TypeError, match="one of float32, float64, float16, bfloat16; got int64"):
        arrays.resolve_dtype(xp, "int64")


def test_check_array_returns_the_namespace_and_takes_open_sizes(backend):
    x = backend.array(np.zeros((2, 3)))
    assert arrays.check_array("x", x, [("T", None), ("D", 3)], like=x) is arrays.namespace(x)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2,), r"x must have shape \(T, D=3\); got \(2,\), which has 1 axes instead of 2"),
        ((2, 3, 1), r"x must have shape \(T, D=3\); got \(2, 3, 1\), which has 3 axes instead of 2"),
        ((), r"x must have shape \(T, D=3\); got \(\), which has 0 axes instead of 2"),
        ((2, 4), r"x must have shape \(T, D=3\); got \(2, 4\): D is 4, expected 3"),
        ((0, 3), r"x must have shape \(T, D=3\); got \(0, 3\): T is empty"),
    ],
)
def test_check_array_names_shape(backend, shape, message):
    with pytest.raises(ValueError, match=message):
        arrays.check_array("x", backend.array(np.zeros(shape)), [("T", None), ("D", 3)])


def test_check_array_names_dtypes_devices_and_libraries(backend):
    like = backend.array([1.0])
    with pytest.raises(TypeError, match=r"x is float32 but w are float64.*cell\.to\(dtype='float32'\)"):
        arrays.check_array("x", backend.array([1.0], "float32"), [("T", None)], like, "w")
    with pytest.raises(TypeError, match=r"x's dtype must be one of float32, float64.*; got int64"):
        arrays.check_array("x", backend.array([1], "int64"), [("T", None)], like, "w")
    other = pytest.importorskip("array_api_strict").zeros(1) if backend.name == "numpy" else np.zeros(1)
    with pytest.raises(TypeError, match=rf"x is a {type(other).__module__}\..* but w are .*cell\.to\(xp="):
        arrays.check_array("x", other, [("T", None)], like, "w")


def test_check_array_names_devices_of_torch(torch):
    with pytest.raises(TypeError, match=r"x is on device meta but w are on cpu.*cell\.to\(device="):
        arrays.check_array("x", torch.zeros(1, device="meta"), [("T", None)], torch.zeros(1), "w")


def test_check_array_names_devices_of_strict():
    strict = pytest.importorskip("array_api_strict")
    x = strict.zeros(1, device=strict.Device("device1"))
    with pytest.raises(TypeError, match=r"x is on device .*device1.* but w are on .*CPU_DEVICE"):
        arrays.check_array("x", x, [("T", None)], strict.zeros(1), "w")


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_check_finite_names_the_first_step_forwards_and_backwards(backend, bad):
    values = np.zeros((5, 2, 3))
    values[1, 1, 2] = values[3, 0, 0] = bad
    x = backend.array(values)
    for backward, step in ((False, 1), (True, 3)):
        with pytest.raises(NonFiniteError, match=rf"^x is not finite .* step {step + 10};.*hint.*") as error:
            arrays.check_finite("x", x, detail="hint", first=10, backward=backward)
        assert (error.value.tensor, error.value.step) == ("x", step + 10)
    assert arrays.check_finite("x", x, "return") is None
    with pytest.raises(ValueError, match="nonfinite must be one of 'raise', 'return'; got 'ignore'"):
        arrays.check_finite("x", x, "ignore")


def test_check_finite_takes_numbers_whose_sum_is_not_finite(backend):
    largest = np.full((3, 1), np.finfo("float64").max)
    for values in (largest, -largest, np.concatenate([largest, -largest])):
        assert arrays.check_finite("x", backend.array(values)) is None
    for pair in ([np.inf, -np.inf], [np.inf, -1e308], [np.nan, 1e308]):  # sums that are NaN, inf and NaN
        with pytest.raises(NonFiniteError, match="first at step 0"):
            arrays.check_finite("x", backend.array(pair))


def test_convert_copies_within_a_library_and_between(backend, dtype):
    values = np.array([[1.5, -2.25], [0.1, 3.0]])
    xp = arrays.resolve_namespace(backend.xp)
    source = backend.array(values, dtype)
    copy = arrays.convert(source, xp)
    backend.check(copy, backend.numpy(source), dtype)
    copy[0, 0] = 99.0
    assert backend.numpy(source)[0, 0] == 1.5
    plain = arrays.convert(source, arrays.resolve_namespace(None))
    assert isinstance(plain, np.ndarray)
    assert plain.dtype == dtype
    plain[0, 0] = 99.0
    assert backend.numpy(source)[0, 0] == 1.5
    backend.check(arrays.convert(values, xp, "float32", backend.device), values.astype("float32"), "float32")


def test_to_numpy_takes_tensors_that_require_grad_and_half_precision(torch):
    tensor = torch.tensor([1.0, 0.1], requires_grad=True)
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(tensor)  # the trap
    np.testing.assert_array_equal(arrays.to_numpy(tensor), np.array([1.0, 0.1], "float32"))
    half = torch.tensor([0.1], dtype=torch.bfloat16)
    assert arrays.to_numpy(half).dtype == np.float32
    assert arrays.to_numpy(half)[0] == half.item()


def test_two_uses_of_seed_zero_are_two_streams():
    first, again, other = (arrays.random_stream(0, name).normal(size=8) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert np.min(np.abs(first - other)) > 0
    assert np.min(np.abs(first - arrays.random_stream(1, "a").normal(size=8))) > 0


def test_random_streams_of_pieces_differ_from_each_other_and_from_the_whole():
    streams = [arrays.random_stream(0, "a", index) for index in (None, 0, 1, 2**40)]
    assert len({stream.normal() for stream in streams}) == 4
    assert arrays.random_stream(0, "a", 7).normal() == arrays.random_stream(0, "a", 7).normal()


@pytest.mark.parametrize(("keys", "error"), [((-1, "a"), ValueError), ((0.5, "a"), TypeError)])
def test_random_streams_need_whole_seeds(keys, error):
    with pytest.raises(error, match=r"^seed must be .*got"):
        arrays.random_stream(*keys)
    with pytest.raises(error, match=r"^index must be .*got"):
        arrays.random_stream(0, "a", keys[0])


@given(seed=st.integers(0, 2**32), hidden=st.integers(1, 6), inputs=st.integers(1, 6))
def test_same_seed_gives_the_same_numbers_under_every_library(backend, seed, hidden, inputs):
    expected = RNN.init(inputs, hidden, seed)
    cell = RNN.init(inputs, hidden, seed, xp=backend.xp, device=backend.device)
    for name, weight in cell.parameters.items():
        np.testing.assert_array_equal(backend.numpy(weight), getattr(expected, name))


def test_no_global_random_state_is_read_or_changed(backend):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cells = [RNN.init(2, 3, xp=backend.xp, device=backend.device) for _ in range(2)]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(*(backend.numpy(cell.weight_hh) for cell in cells))
