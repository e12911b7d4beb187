"""Where the book is, and whether the packages that a command needs are there."""

import importlib.util
from pathlib import Path

import vglib


class CannotRunError(Exception):
    """A command cannot start here; the message says what to do about it."""


def root() -> Path:
    """Root of the checkout that this library was imported from.

    Raises
    ------
    CannotRunError
        If the library is an installed copy: the book does not come with it.
    """
    folder = Path(vglib.__file__).resolve().parents[1]
    if not (folder / "_toc.yml").is_file():
        raise CannotRunError(
            f"no book beside the library in {folder}: this command needs a checkout of the repository, "
            "with vglib installed from it (pip install -e '.[test]', or: make book)"
        )
    return folder


def require(extra: str, *modules: str) -> None:
    """Check that modules are installed, without importing them.

    Parameters
    ----------
    extra
        The extra of vglib that brings them.
    modules
        Names of top-level modules.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotRunError(f"missing {', '.join(missing)}: pip install -e '.[{extra}]' in the checkout")
