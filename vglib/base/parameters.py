"""What every explicit network does with the arrays it holds: name, exchange, move and check them."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from types import ModuleType
from typing import Any, Self

from array_api_compat import array_namespace

from .arrays import Array, check_finite, convert, dtype_name, resolve_namespace

__all__ = ["Parameters"]


class Parameters:
    """Base class of frozen dataclasses that hold arrays of one library, dtype and device, and settings."""

    @property
    def like(self) -> Array:
        """One of the arrays, whose library, dtype and device all others share."""
        raise NotImplementedError(f"{type(self).__name__}.like")

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays a loss is differentiated by, by name."""
        raise NotImplementedError(f"{type(self).__name__}.parameters")

    @property
    def _held(self) -> dict[str, Array]:
        """Every array, by the name of its field."""
        return self.parameters

    @cached_property
    def xp(self) -> ModuleType:
        """The array namespace of the weights."""
        return array_namespace(self.like)

    @property
    def dtype(self) -> str:
        """Name of the weights' dtype."""
        return dtype_name(self.like.dtype)

    def __getstate__(self) -> dict[str, Any]:
        # What was cached is found again; a module cannot be pickled.
        own = {field.name for field in dataclasses.fields(self)}
        return {name: value for name, value in self.__dict__.items() if name in own}

    def _options(self) -> dict[str, Any]:
        """Return the settings beside the arrays, which `to` carries along."""
        own = {field.name for field in dataclasses.fields(self)} - set(self._held)
        return {name: getattr(self, name) for name in sorted(own)}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some weights or settings exchanged, checked like new ones."""
        unknown = set(changes) - {field.name for field in dataclasses.fields(self)}
        if unknown:
            known = ", ".join(field.name for field in dataclasses.fields(self))
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}; it has {known}")
        return dataclasses.replace(self, **changes)

    def to(self, xp: ModuleType | None = None, device: Any = None, dtype: Any = None) -> Self:
        """Return a copy under another library, on another device or in another dtype."""
        xp = self.xp if xp is None else resolve_namespace(xp)
        arrays = {name: convert(w, xp, dtype, device) for name, w in self._held.items()}
        return type(self)(**arrays, **self._options())

    def check_weights(self, nonfinite: str = "refuse") -> None:
        """Raise `NonFiniteError` with the weight's name if one is not finite."""
        for name, weight in self._held.items():
            check_finite(name, weight, nonfinite, first=None)
