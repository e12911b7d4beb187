"""What goes wrong, said so that a reader can act: what came, what was expected, which parameter."""

from __future__ import annotations

__all__ = ["NonFiniteError", "choice"]


class NonFiniteError(ValueError):
    """A number that is not finite, with the place where it first appears.

    Parameters
    ----------
    tensor : str
        Name of the array, as the caller knows it.
    step : int
        First time step (first index along axis 0) that holds inf or NaN.
    detail : str, optional
        One more sentence, e.g. what usually causes it.
    """

    def __init__(self, tensor: str, step: int, detail: str = "") -> None:
        self.tensor = tensor
        self.step = step
        hint = f" {detail}" if detail else ""
        super().__init__(
            f"{tensor} is not finite (inf or NaN), first at step {step}; expected finite numbers.{hint} "
            "Pass nonfinite='return' to go on and see it."
        )


def choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`.

    Raises
    ------
    ValueError
        Naming the parameter, what came and what is allowed.
    """
    # Arrays compare elementwise, so only strings and whole numbers can be a choice; True is no 1.
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
