"""The two errors of the house."""

import pytest

from vglib import NonFiniteError
from vglib.base.errors import choice


def test_nonfinite_error_carries_place_and_advice():
    error = NonFiniteError("states", 7, "Smaller weights.")
    assert isinstance(error, ValueError)
    assert (error.tensor, error.step) == ("states", 7)
    for part in ("states", "inf or NaN", "step 7", "Smaller weights.", "nonfinite='return'"):
        assert part in str(error)


@pytest.mark.parametrize("value", ["b", 3, True, 1.0, None, ["a"], {"a": 1}])
def test_choice_refuses_and_names(value):
    with pytest.raises(ValueError, match=r"^ord must be one of 'a', 1; got ") as error:
        choice("ord", value, ("a", 1))
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", ["a", 1])
def test_choice_takes_what_is_allowed(value):
    assert choice("ord", value, ("a", 1)) is None
