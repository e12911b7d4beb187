"""The loader of MNIST, on a few images in the same format and on files that lie."""

import gzip
import hashlib
import os
import struct
import tracemalloc

import numpy as np
import pytest

from vglib.base.data import digits, mnist
from vglib.base.data.mnist import SHA256

NAMES = {split: [f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"] for split in ("train", "t10k")}
DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(256, size=(7, 28, 28), dtype=np.uint8)
FOLDER = os.environ.get("VGLIB_DATA")  # before a fixture takes it away
LABELS = np.array([3, 1, 4, 1, 5, 9, 2], dtype=np.uint8)


def image_file(images=IMAGES, magic=2051, count=None, rows=28, columns=28):
    """Return the bytes of an image file."""
    count = len(images) if count is None else count
    return struct.pack(">IIII", magic, count, rows, columns) + bytes(images)


def label_file(labels=LABELS, magic=2049, count=None):
    """Return the bytes of a label file."""
    return struct.pack(">II", magic, len(labels) if count is None else count) + bytes(labels)


def write(folder, images=None, labels=None, split="train", packed=False):
    """Write both files of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    images = image_file() if images is None else images
    labels = label_file() if labels is None else labels
    for name, content in zip(NAMES[split], (images, labels), strict=True):
        path = folder / f"{name}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture(autouse=True)
def _no_folder_named(monkeypatch):
    monkeypatch.delenv("VGLIB_DATA", raising=False)


# -- what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_in_the_order_of_the_file(tmp_path, split, packed):
    write(tmp_path, split={"train": "train", "test": "t10k"}[split], packed=packed)
    data = mnist(tmp_path, split, verify=False)
    assert data.x.shape == (784, 7, 1)
    assert data.x.dtype == np.float64
    assert data.labels.dtype == np.int64
    for n in range(7):
        np.testing.assert_array_equal(data.x[:, n, 0], IMAGES[n].ravel() / 255)
    np.testing.assert_array_equal(data.labels, LABELS)
    rows = mnist(str(tmp_path), split, "rows", verify=False)
    assert rows.x.shape == (28, 7, 28)
    np.testing.assert_array_equal(rows.x, np.swapaxes(IMAGES, 0, 1) / 255)
    other = "test" if split == "train" else "train"
    with pytest.raises(FileNotFoundError):
        mnist(tmp_path, other, verify=False)


@pytest.mark.parametrize("part", [".", "mnist", "MNIST/raw"])
def test_places_where_it_is_looked_for(tmp_path, monkeypatch, part):
    write(tmp_path / part)
    expected = mnist(tmp_path, verify=False)
    monkeypatch.setenv("VGLIB_DATA", str(tmp_path))
    np.testing.assert_array_equal(mnist(verify=False).x, expected.x)
    # What is named comes before the environment.
    monkeypatch.setenv("VGLIB_DATA", str(tmp_path / "nowhere"))
    np.testing.assert_array_equal(mnist(tmp_path, verify=False).x, expected.x)


def test_limit_keeps_the_first(tmp_path):
    write(tmp_path)
    whole, some = mnist(tmp_path, verify=False), mnist(tmp_path, limit=3, verify=False)
    np.testing.assert_array_equal(some.x, whole.x[:, :3])
    np.testing.assert_array_equal(some.labels, LABELS[:3])


def test_permutation_is_one_for_both_splits_and_that_of_digits(tmp_path):
    pytest.importorskip("sklearn.datasets")
    ramp = np.arange(784, dtype=np.int64)
    # Two images whose pixels together spell where they are.
    images = np.stack([ramp // 256, ramp % 256]).astype(np.uint8).reshape(2, 28, 28)
    for split in NAMES:
        write(tmp_path, image_file(images), label_file(LABELS[:2]), split)
    orders = []
    for split in ("train", "test"):
        x = np.rint(mnist(tmp_path, split, permutation=4, verify=False).x[..., 0] * 255).astype(int)
        orders.append(x[:, 0] * 256 + x[:, 1])
    np.testing.assert_array_equal(*orders)
    np.testing.assert_array_equal(np.sort(orders[0]), ramp)
    assert not np.array_equal(orders[0], ramp)
    plain, shuffled = (digits("pixels", "test", side=28, permutation=p).x for p in (None, 4))
    np.testing.assert_array_equal(shuffled, plain[orders[0]])


def test_the_same_under_every_library(tmp_path, backend, dtype):
    write(tmp_path)
    expected = mnist(tmp_path, verify=False)
    data = mnist(tmp_path, xp=backend.xp, device=backend.device, dtype=dtype, verify=False)
    backend.check(data.x, expected.x, dtype)
    assert data.labels.dtype == backend.xp.int64
    np.testing.assert_array_equal(backend.numpy(data.labels), LABELS)
    assert repr(data) == "Digits(x (784, 7, 1), labels (7,))"


def test_half_precision_under_torch(tmp_path, torch):
    write(tmp_path)
    x = mnist(tmp_path, xp=torch, dtype="bfloat16", verify=False).x
    expected = torch.tensor(mnist(tmp_path, verify=False).x).to(torch.bfloat16)
    assert torch.equal(x, expected)


def test_arrays_that_come_back_can_be_written_to(tmp_path):
    write(tmp_path)
    data = mnist(tmp_path, verify=False)
    data.x[0, 0, 0], data.labels[0] = 0.5, 7


# -- what is not there --------------------------------------------------------------------------------


def test_without_a_folder_it_says_how_to_get_the_files():
    with pytest.raises(
        FileNotFoundError, match="no folder is named, neither as folder nor by VGLIB_DATA"
    ) as e:
        mnist()
    for name in SHA256:
        assert f"{name}.gz" in str(e.value)
    assert "https://" in str(e.value)
    assert "VGLIB_DATA" in str(e.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"train-images-idx3-ubyte and train-labels-idx1-ubyte .or .gz."
    ):
        mnist(tmp_path / "nowhere")
    write(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").unlink()
    message = r"^train-labels-idx1-ubyte .or .gz. not found; looked in .*mnist.*MNIST/raw"
    with pytest.raises(FileNotFoundError, match=message):
        mnist(tmp_path)
    # A folder, or a pipe that nobody writes to, is no file.
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        mnist(tmp_path)
    os.mkfifo(tmp_path / "mnist" / "train-labels-idx1-ubyte.gz")
    with pytest.raises(FileNotFoundError, match=message):
        mnist(tmp_path)


def test_files_of_two_folders_are_not_mixed(tmp_path):
    write(tmp_path)
    write(tmp_path / "mnist")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError):
        mnist(tmp_path, verify=False)


# -- what is not MNIST --------------------------------------------------------------------------------

HUGE = 2**32 - 1
LIES = {
    "images cut short": ({"images": image_file()[:-1]}, "cut short: 5,488 bytes must follow, 5,487 do"),
    "images cut in the header": ({"images": image_file()[:15]}, "cut short: 16 bytes must follow, 15 do"),
    "no bytes": ({"images": b""}, "cut short: 16 bytes must follow, 0 do"),
    "labels cut short": ({"labels": label_file()[:-2]}, "cut short: 7 bytes must follow, 5 do"),
    "labels without any": ({"labels": label_file()[:8]}, "cut short: 7 bytes must follow, 0 do"),
    "more than is said": ({"images": image_file() + b"\0"}, "goes on after the 7 items"),
    "more labels": ({"labels": label_file() + b"\0"}, "goes on after the 7 items"),
    "labels as images": (
        {"images": label_file() + bytes(20)},
        "begin with the number 2051 of its kind; got 2049",
    ),
    "images as labels": ({"labels": image_file()}, "begin with the number 2049 of its kind; got 2051"),
    "little endian": ({"labels": struct.pack("<II", 2049, 7) + bytes(7)}, "of its kind; got 17301504"),
    "no such magic": ({"images": image_file(magic=0)}, "number 2051 of its kind; got 0"),
    "floats": ({"images": image_file(magic=0x00000D03)}, "number 2051 of its kind; got 3331"),
    "other sizes": ({"images": image_file(rows=32)}, r"28 × 28 pixels; its header says \[32, 28\]"),
    "no columns": ({"images": image_file(columns=0)}, r"28 × 28 pixels; its header says \[28, 0\]"),
    "huge sizes": (
        {"images": image_file(rows=HUGE, columns=HUGE)},
        r"28 × 28 pixels; its header says \[42949",
    ),
    "huge count": ({"images": image_file(count=HUGE)}, "1 to 60,000 items; its header says 4,294,967,295"),
    "one too many": ({"labels": label_file(count=60_001)}, "1 to 60,000 items; its header says 60,001"),
    "no images": ({"images": image_file(count=0)}, "1 to 60,000 items; its header says 0"),
    "a count that lies": ({"images": image_file(count=60_000)}, "cut short: 47,040,000 bytes must follow"),
    "fewer labels": ({"labels": label_file(LABELS[:6])}, "has 7 images but .* has 6 labels"),
    "no digit": ({"labels": label_file(LABELS + 1)}, "must hold digits 0 to 9; got 10"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("lie", LIES)
def test_files_that_lie(tmp_path, lie, packed):
    files, message = LIES[lie]
    write(tmp_path, **files, packed=packed)
    with pytest.raises(ValueError, match=message) as error:
        mnist(tmp_path, verify=False)
    assert str(tmp_path) in str(error.value)


def test_every_place_to_cut_a_packed_file(tmp_path):
    write(tmp_path, packed=True)
    for name in NAMES["train"]:
        path = tmp_path / f"{name}.gz"
        whole = path.read_bytes()
        for length in {
            0,
            1,
            5,
            9,
            10,
            11,
            20,
            len(whole) // 2,
            len(whole) - 9,
            len(whole) - 8,
            len(whole) - 1,
        }:
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=rf"{name}.gz is (damaged or )?cut short"):
                mnist(tmp_path, verify=False)
        path.write_bytes(whole)
    mnist(tmp_path, verify=False)


@pytest.mark.parametrize("where", [0, 1, 3, 30, 2000, -8, -4])
def test_packed_files_that_are_damaged(tmp_path, where):
    write(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[where] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="train-images"):
        mnist(tmp_path, verify=False)


def test_packed_rubbish_behind_the_end(tmp_path):
    write(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"rubbish")
    with pytest.raises(ValueError, match="damaged"):
        mnist(tmp_path, verify=False)


@pytest.mark.parametrize("packed", [False, True])
def test_no_more_is_read_than_the_header_says(tmp_path, packed):
    write(tmp_path, packed=packed)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    if packed:  # half a gigabyte of zeros in half a megabyte
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(image_file())
            for _ in range(512):
                file.write(bytes(2**20))
    else:
        with path.open("r+b") as file:
            file.truncate(2**40)  # a hole
    tracemalloc.start()
    with pytest.raises(ValueError, match="goes on after the 7 items"):
        mnist(tmp_path, verify=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


# -- checksums ----------------------------------------------------------------------------------------


def sums():
    """Return the checksums of the few images."""
    contents = zip(NAMES["train"], (image_file(), label_file()), strict=True)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents}


@pytest.mark.parametrize("packed", [False, True])
def test_checksums_are_of_the_content(tmp_path, packed):
    write(tmp_path, packed=packed)
    data = mnist(tmp_path, verify=sums())
    np.testing.assert_array_equal(data.labels, LABELS)
    mnist(tmp_path, verify={name: value.upper() for name, value in sums().items()})
    for name in NAMES["train"]:
        with pytest.raises(ValueError, match=rf"{name}.* is not the known file: .* expected {'0' * 64}"):
            mnist(tmp_path, verify={**sums(), name: "0" * 64})


def test_one_bit_is_enough(tmp_path):
    images = IMAGES.copy()
    images[6, 27, 27] ^= 1
    write(tmp_path, image_file(images))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is not the known file"):
        mnist(tmp_path, verify=sums())
    labels = LABELS.copy()
    labels[0] = 4
    write(tmp_path, labels=label_file(labels))
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte is not the known file"):
        mnist(tmp_path, verify=sums())


def test_no_checksum_is_not_a_right_one(tmp_path):
    write(tmp_path)
    for table in ({}, {"train-images-idx3-ubyte": sums()["train-images-idx3-ubyte"]}):
        with pytest.raises(ValueError, match=r"verify has no checksum for train-(images|labels)-idx"):
            mnist(tmp_path, verify=table)


@pytest.mark.parametrize(
    ("split", "name", "count"), [("train", "train", "60,000"), ("test", "t10k", "10,000")]
)
def test_verified_means_all_of_mnist(tmp_path, split, name, count):
    write(tmp_path, split=name)
    with pytest.raises(ValueError, match=f"must hold {count} items; its header says 7"):
        mnist(tmp_path, split)
    # As many, and yet others.
    number = int(count.replace(",", ""))
    write(tmp_path, image_file(bytes(number * 784), count=number), label_file(bytes(number)), split=name)
    with pytest.raises(ValueError, match=f"{name}-images-idx3-ubyte is not the known file"):
        mnist(tmp_path, split)
    assert mnist(tmp_path, split, limit=5, verify=False).x.shape == (784, 5, 1)


def test_known_checksums_are_of_all_four_files():
    assert sorted(SHA256) == sorted(name for pair in NAMES.values() for name in pair)
    assert len(set(SHA256.values())) == 4
    for value in SHA256.values():
        assert len(bytes.fromhex(value)) == 32


@pytest.mark.skipif(not FOLDER, reason="VGLIB_DATA names no folder")
def test_the_readers_own_files():
    try:
        data = mnist(FOLDER, "test", limit=10)
    except FileNotFoundError:
        pytest.skip(f"no MNIST in {FOLDER}")
    assert data.labels.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


# -- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "all"}, ValueError, "split must be one of 'train', 'test'; got 'all'"),
        ({"order": "columns"}, ValueError, "order must be one of 'rows', 'pixels'; got 'columns'"),
        (
            {"order": "rows", "permutation": 0},
            ValueError,
            "permutation .* needs order='pixels'; got order='rows'",
        ),
        ({"permutation": "yes"}, TypeError, "permutation must be an integer; got 'yes'"),
        ({"permutation": True}, TypeError, "permutation must be an integer; got True"),
        ({"limit": 0}, ValueError, "limit must be at least 1; got 0"),
        ({"limit": 2.0}, TypeError, "limit must be an integer; got 2.0"),
        ({"limit": 8}, ValueError, "limit must be at most the 7 images of split='train'; got 8"),
        ({"verify": "md5"}, TypeError, "verify must be True, False or checksums by file name; got 'md5'"),
        ({"verify": None}, TypeError, "verify must be True, False or checksums by file name; got None"),
        ({"folder": 3}, TypeError, "folder must be a path; got 3"),
        ({"dtype": "int64"}, TypeError, "dtype must be one of float32, float64; got int64"),
        ({"xp": "numpy"}, TypeError, "xp must be an array module"),
    ],
)
def test_bad_options(tmp_path, options, error, message):
    write(tmp_path)
    with pytest.raises(error, match=message):
        mnist(**{"folder": tmp_path, "verify": False, **options})
