"""CIFAR-10 from the files that a reader has; nothing is fetched, and nothing is unpickled.

The files are those of the binary version, as they lie in its archive or unpacked: rows of 3,073 bytes, one
for the label and 1,024 each for red, green and blue, line after line from the top. The python version is not
read: its files are pickles, which can run any program.

What is compared with a known checksum is each loose file, or the archive as a whole before anything in it is
looked at. The archive's MD5 is the one that the data set's page prints, its SHA-256 the one by which
tensorflow-datasets and others know it; the MD5 of the loose files are those on which public build scripts
that fetch the same archive agree. MD5 tells a damaged file, or another one, from the right one; it would not
stop somebody who made both.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import choice, whole_number
from .files import Sums, check_verify, compare, find, reading
from .images import Images, check_limit
from .place import Place

__all__ = ["cifar10"]

SHAPE = (3, 32, 32)
ROW = 1 + 3 * 32 * 32
ROWS = 10_000  # in a file
CLASSES = 10
NAMES = {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}
ARCHIVE = "cifar-10-binary.tar.gz"
PLACES = (".", "cifar-10-batches-bin", "cifar10")  # the second is what the archive unpacks to
MOST = 200 * 2**20  # bytes that the archive unpacks to, and some
BLOCK = 2**20
SUMS = {
    ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
HOW = (
    f"CIFAR-10 does not come with this library. Get its binary version, {ARCHIVE} (MD5 "
    "c32a1d4ab5d03f1284b67883e8d87530), from https://www.cs.toronto.edu/~kriz/cifar.html and leave it as it "
    "is or unpack it; the python version (cifar-10-batches-py) is not read. Then name the folder: "
    "cifar10(FOLDER), or by the environment variable VGLIB_DATA"
)


def cifar10(
    folder: str | os.PathLike[str] | None = None,
    split: str = "train",
    limit: int | None = None,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
    verify: bool | Sums = True,
) -> Images:
    """Return the small colour photographs of CIFAR-10, from files of the reader's.

    Parameters
    ----------
    folder : path, optional
        Where the six `.bin` files or `cifar-10-binary.tar.gz` are; `folder/cifar-10-batches-bin` and
        `folder/cifar10` are looked at too, and loose files come before the archive beside them. Without it,
        the environment variable VGLIB_DATA.
    split : {'train', 'test'}
        50,000 images from five files, or 10,000 from one, in the order of the files.
    limit : int, optional
        Keep the first so many images. All 50,000 take 1.2 GB in float64, half of it in float32.
    xp, device, dtype
        As for `RNN.init`.
    verify : bool or mapping of name to MD5 or SHA-256
        Compare loose files, or the archive, with CIFAR-10's checksums, or with those given. Otherwise than
        with True, files may have any number of rows up to CIFAR-10's, so that a few will do.

    Returns
    -------
    Images
        `x` (N, 3, 32, 32) from 0 to 1; `labels` (N,) from 0 to 9: aeroplane, car, bird, cat, deer, dog, frog,
        horse, ship, lorry.

    Raises
    ------
    FileNotFoundError
        No folder is named, or a file is not in it; the message says how to get them.
    ValueError
        A file that is not CIFAR-10's: another size or checksum, cut short, too long or damaged; a label above
        9. Nothing is returned then. Also a bad option.
    TypeError
        A parameter of another kind.

    References
    ----------
    A. Krizhevsky, Learning multiple layers of features from tiny images, technical report, University of
    Toronto, 2009.
    """
    choice("split", split, tuple(NAMES))
    limit = limit if limit is None else whole_number("limit", limit, 1)
    sums, place = check_verify(verify, SUMS), Place(xp, device, dtype)
    names = NAMES[split]
    paths = find(folder, PLACES, lambda place: _look(place, names), ARCHIVE, HOW)
    least = ROWS if verify is True else 1
    if paths[0].name == ARCHIVE:
        rows = np.concatenate(_unpacked(paths[0], names, least, sums))
    else:
        rows = np.concatenate([_loose(path, least, sums) for path in paths])
    check_limit(limit, len(rows), split)
    rows = rows[:limit]
    return Images(place.scaled(rows[:, 1:].reshape(-1, *SHAPE), 255), place.whole(rows[:, 0]))


def _look(place: Path, names: list[str]) -> tuple[list[Path], list[str]]:
    """Return the files that are in a folder, or the archive, and the names of those that are not."""
    found = [place / name for name in names if (place / name).is_file()]
    missing = [name for name in names if place / name not in found]
    return ([place / ARCHIVE], []) if missing and (place / ARCHIVE).is_file() else (found, missing)


def _loose(path: Path, least: int, sums: Sums | None) -> np.ndarray:
    """Return the rows of one file, of which no more is read than a row beyond the end."""
    with path.open("rb") as file:
        content = file.read((ROWS + 1) * ROW)
    rows = _rows(path, content, least)
    compare(path, path.name, [content], sums)
    return rows


def _unpacked(path: Path, names: list[str], least: int, sums: Sums | None) -> list[np.ndarray]:
    """Return the rows of the files in an archive, in the order of `names`."""
    found: dict[str, bytes] = {}
    twice = []
    with path.open("rb") as packed:
        compare(path, path.name, iter(lambda: packed.read(BLOCK), b""), sums)
        packed.seek(0)
        # Headers that lie make tarfile raise more than its own errors; a chain of them ends in the second.
        with (
            reading(path, tarfile.TarError, RecursionError, OverflowError, ValueError),
            gzip.open(packed) as file,
        ):
            capped = _Capped(file)
            with tarfile.open(fileobj=capped, mode="r|") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if name not in names or not member.isfile():
                        continue
                    if name in found:
                        twice.append(name)
                        continue
                    found[name] = archive.extractfile(member).read((ROWS + 1) * ROW)
            while capped.read(BLOCK):  # to the end, where gzip's own checksum stands
                pass
    if twice:
        raise ValueError(f"{path} holds {twice[0]} twice; get it again")
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path} does not hold {' and '.join(missing)}; get it again")
    return [_rows(path / name, found[name], least) for name in names]


class _Capped:
    """A file of which no more is unpacked than CIFAR-10 has, whatever its headers promise."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, MOST

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        self.left -= size
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {MOST:,} bytes, which is not CIFAR-10")
        return self.file.read(size)


def _rows(path: Path, content: bytes, least: int) -> np.ndarray:
    """Return the rows (N, 3073) of one file, least ≤ N ≤ 10,000, all checks passed."""
    count, rest = divmod(len(content), ROW)
    if rest or not least <= count <= ROWS:
        number = f"{least:,}" if least == ROWS else f"{least:,} to {ROWS:,}"
        size = f"{len(content):,} bytes" if len(content) <= ROWS * ROW else "more"
        raise ValueError(f"{path} must hold {number} rows of {ROW:,} bytes; got {size}: get it again")
    rows = np.frombuffer(content, dtype=np.uint8).reshape(count, ROW)
    wrong = np.flatnonzero(rows[:, 0] >= CLASSES)
    if len(wrong):
        raise ValueError(
            f"{path} must hold labels 0 to {CLASSES - 1}; row {wrong[0]} has {rows[wrong[0], 0]}"
        )
    return rows
