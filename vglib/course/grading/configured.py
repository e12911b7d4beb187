"""What an instructor wrote into a course's ``grading.toml``; anything odd in it stops the run at once."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

from vglib.course.checkout import CannotRunError
from vglib.course.grading.limits import Limits

__all__ = ["configured"]


def configured(path: Path) -> tuple[Limits, str | None]:
    """Return limits and the gradebook's URL from a file; what is not in it keeps its default.

    Raises
    ------
    CannotRunError
        The file is damaged, or says what cannot be.
    """
    limits = Limits()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return limits, None
    except (OSError, ValueError, RecursionError) as error:
        raise CannotRunError(f"{path} cannot be read, so nothing is graded: {error}") from None
    unknown = set(found) - {"limits", "gradebook"}
    if unknown:
        raise CannotRunError(f"{path}: unknown {', '.join(sorted(unknown))}; limits and gradebook are known")
    wanted = found.get("limits", {})
    if not isinstance(wanted, dict):
        raise CannotRunError(f"{path}: limits must be a table: [limits]")
    kinds = {one.name: type(getattr(limits, one.name)) for one in fields(limits)}
    for name, value in wanted.items():
        if name not in kinds:
            raise CannotRunError(f"{path}: unknown limit {name}; known are {', '.join(kinds)}")
        _check(path, name, value, kinds[name])
    url = found.get("gradebook")
    if not isinstance(url, str | None) or url == "":
        raise CannotRunError(f"{path}: gradebook must be a database URL as text; got {url!r}")
    return replace(limits, **{name: kinds[name](value) for name, value in wanted.items()}), url


def _check(path: Path, name: str, value: object, kind: type) -> None:
    if kind is int and (type(value) is not int or not 1 <= value < 2**50):
        raise CannotRunError(f"{path}: limit {name} must be a whole number from 1; got {value!r}")
    if type(value) not in (int, float) or not 0 < value < 2**50:  # type: ignore[operator]
        raise CannotRunError(f"{path}: limit {name} must be a positive number; got {value!r}")
