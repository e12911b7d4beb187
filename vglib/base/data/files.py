"""Files that a reader has: found by name, read no further than expected, and compared by checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Sums", "check_verify", "compare", "find", "reading"]

Sums = Mapping[str, str]
"""MD5 or SHA-256 in hexadecimal, by file name."""

HASHES = {32: "MD5", 64: "SHA-256"}  # by the number of digits


def check_verify(verify: bool | Sums, known: Sums) -> Sums | None:
    """Return the checksums to compare with: the known ones, none, or those given.

    Raises
    ------
    TypeError
        `verify` is neither a bool nor a mapping.
    """
    if not isinstance(verify, bool | Mapping):
        raise TypeError(f"verify must be True, False or checksums by file name; got {verify!r}")
    return ({True: known, False: None}[verify]) if isinstance(verify, bool) else verify


def find(
    folder: str | os.PathLike[str] | None,
    places: Iterable[str],
    look: Callable[[Path], tuple[list[Path], list[str]]],
    instead: str,
    how: str,
) -> list[Path]:
    """Return the paths of the files, all from one folder.

    Parameters
    ----------
    folder : path or None
        As the reader named it; without it, the environment variable VGLIB_DATA.
    places : iterable of str
        Folders within it.
    look : callable (folder) -> (paths, names)
        The files that are in a folder, and the names of those that are missing.
    instead : str
        What would have done instead, for the message.
    how : str
        How to get the files, for the message.

    Raises
    ------
    TypeError
        `folder` is no path.
    FileNotFoundError
        No folder is named, or none has them all.
    """
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path; got {folder!r}")
    named = os.environ.get("VGLIB_DATA") if folder is None else folder
    if not named:
        raise FileNotFoundError(f"no folder is named, neither as folder nor by VGLIB_DATA. {how}")
    missing = {}
    for place in (Path(named) / part for part in places):
        found, missing[place] = look(place)
        if not missing[place]:
            return found
    fewest = min(missing.values(), key=len)
    looked = ", ".join(map(str, missing))
    raise FileNotFoundError(f"{' and '.join(fewest)} (or {instead}) not found; looked in {looked}. {how}")


@contextmanager
def reading(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what unpacking raises, and further `errors`, into a ValueError that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, *errors) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); get it again") from None


def compare(path: Path, name: str, parts: Iterable[bytes], sums: Sums | None) -> None:
    """Raise ValueError unless the checksum of `parts`, one after the other, is that of `name`."""
    if sums is None:
        return
    if name not in sums:
        raise ValueError(f"verify has no checksum for {name}")
    expected = str(sums[name]).lower()
    kind = HASHES.get(len(expected))
    if kind is None:
        raise ValueError(
            f"verify[{name!r}] must be an MD5 of 32 or a SHA-256 of 64 digits; got {sums[name]!r}"
        )
    digest = hashlib.new(kind.replace("-", ""), usedforsecurity=False)
    for part in parts:
        digest.update(part)
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{path} is not the known file: the {kind} of its content is {digest.hexdigest()}, expected "
            f"{expected}; get it again, or pass verify=False if it is meant to differ"
        )
