"""The two errors of the house."""

import pickle

import numpy as np
import pytest

from vglib import NonFiniteError
from vglib.base.arrays import check_finite
from vglib.base.errors import choice, kind_of, real_number, whole_number


def test_nonfinite_error_carries_place_and_advice():
    error = NonFiniteError("states", 7, "Smaller weights.")
    assert isinstance(error, ValueError)
    assert (error.tensor, error.step) == ("states", 7)
    for part in ("states", "inf or NaN", "step 7", "Smaller weights."):
        assert part in str(error)


def test_nonfinite_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(NonFiniteError("states", 7, "Smaller weights.")))
    assert (error.tensor, error.step, error.detail) == ("states", 7, "Smaller weights.")
    assert str(error) == str(NonFiniteError("states", 7, "Smaller weights."))


@pytest.mark.parametrize(("nonfinite", "advised"), [("raise", True), ("refuse", False)])
def test_advice_is_given_only_where_it_can_be_taken(nonfinite, advised):
    with pytest.raises(NonFiniteError) as error:
        check_finite("x", np.array([1.0, np.nan]), nonfinite)
    assert ("nonfinite='return'" in str(error.value)) is advised


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]])
def test_whole_number_takes_integers_only(value):
    with pytest.raises(TypeError, match="layer must be an integer; got "):
        whole_number("layer", value, 0)


def test_whole_number_takes_those_of_numpy_and_names_the_least():
    assert whole_number("layer", np.int64(3), 0) == 3
    with pytest.raises(ValueError, match="layer must be at least 1; got 0"):
        whole_number("layer", 0, 1)


@pytest.mark.parametrize("value", [True, "1", None, [1.0], np.ones(()), 1j])
def test_real_number_takes_numbers_only(value):
    with pytest.raises(TypeError, match="gain must be a number; got "):
        real_number("gain", value, 0.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -0.5])
def test_real_number_refuses_what_is_not_finite_or_too_small(value):
    with pytest.raises(ValueError, match="gain must be finite and at least 0; got "):
        real_number("gain", value, 0.0)


def test_kinds_are_named_with_their_module():
    assert [kind_of(value) for value in (None, 1.0, [])] == ["NoneType", "float", "list"]
    assert kind_of(NonFiniteError("x")) == "vglib.base.errors.NonFiniteError"


@pytest.mark.parametrize("value", ["b", 3, True, 1.0, None, ["a"], {"a": 1}])
def test_choice_refuses_and_names(value):
    with pytest.raises(ValueError, match=r"^ord must be one of 'a', 1; got ") as error:
        choice("ord", value, ("a", 1))
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", ["a", 1])
def test_choice_takes_what_is_allowed(value):
    assert choice("ord", value, ("a", 1)) is None
