"""The loader of CIFAR-10, on a few images in the same format and on files that lie."""

import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc

import numpy as np
import pytest

from vglib.base.data import cifar, cifar10
from vglib.base.data.cifar import ARCHIVE, SUMS

TRAIN = [f"data_batch_{n}.bin" for n in range(1, 6)]
NAMES = {"train": TRAIN, "test": ["test_batch.bin"]}
FOLDER = os.environ.get("VGLIB_DATA")  # before a fixture takes it away
DRAW = np.random.default_rng(0)
ROWS = DRAW.integers(256, size=(6, 4, 3073), dtype=np.uint8)  # four images in each of six files
ROWS[..., 0] %= 10
CONTENTS = {name: rows.tobytes() for name, rows in zip([*TRAIN, "test_batch.bin"], ROWS, strict=True)}
HUGE = 2**40


def write(folder, **changes):
    """Write the six files; `changes` replace contents by name without its ending, None leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        content = changes.get(name.removesuffix(".bin"), content)
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def pack(folder, members=None, packed=gzip.compress):
    """Write an archive as the known one is laid out."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(directory := tarfile.TarInfo("cifar-10-batches-bin"))
        directory.type = tarfile.DIRTYPE
        for name, content in CONTENTS.items() if members is None else members:
            member = (
                name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            )
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (folder / ARCHIVE).write_bytes(packed(stream.getvalue()))
    return folder


@pytest.fixture(autouse=True)
def _no_folder_named(monkeypatch):
    monkeypatch.delenv("VGLIB_DATA", raising=False)


@pytest.fixture(params=[write, pack])
def folder(request, tmp_path):
    """The files, loose or in their archive."""
    return request.param(tmp_path)


# -- what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", NAMES)
def test_images_and_labels_in_the_order_of_the_files(folder, split):
    data = cifar10(folder, split, verify=False)
    rows = ROWS[5:] if split == "test" else ROWS[:5]
    rows = rows.reshape(-1, 3073)
    assert data.x.shape == (len(rows), 3, 32, 32)
    assert (data.x.dtype, data.labels.dtype) == (np.float64, np.int64)
    np.testing.assert_array_equal(data.labels, rows[:, 0])
    for n, row in enumerate(rows):
        # As the data set's page says it: the byte of colour c in line i, column j.
        for c, i, j in [(0, 0, 0), (0, 0, 31), (0, 1, 0), (1, 0, 0), (2, 31, 31), (1, 7, 20)]:
            assert data.x[n, c, i, j] == row[1 + 1024 * c + 32 * i + j] / 255
    assert 0 <= data.x.min() < data.x.max() <= 1


@pytest.mark.parametrize("part", [".", "cifar-10-batches-bin", "cifar10"])
@pytest.mark.parametrize("lay", [write, pack])
def test_places_where_it_is_looked_for(tmp_path, monkeypatch, part, lay):
    lay(tmp_path / part)
    expected = cifar10(tmp_path, verify=False)
    monkeypatch.setenv("VGLIB_DATA", str(tmp_path))
    np.testing.assert_array_equal(cifar10(verify=False).x, expected.x)
    # What is named comes before the environment.
    monkeypatch.setenv("VGLIB_DATA", str(tmp_path / "nowhere"))
    np.testing.assert_array_equal(cifar10(str(tmp_path), verify=False).x, expected.x)


def test_loose_files_come_before_the_archive_if_all_are_there(tmp_path):
    write(pack(tmp_path, [(name, bytes(3073)) for name in CONTENTS]))
    assert cifar10(tmp_path, verify=False).x.shape[0] == 20
    (tmp_path / TRAIN[3]).unlink()
    assert cifar10(tmp_path, verify=False).x.shape[0] == 5
    assert cifar10(tmp_path, "test", verify=False).x.shape[0] == 4


def test_files_in_any_order_and_others_among_them(tmp_path):
    others = [("batches.meta.txt", b"cat\n"), ("readme.html", b"<html>")]
    pack(tmp_path, [*others, *reversed(CONTENTS.items())])
    np.testing.assert_array_equal(cifar10(tmp_path, verify=False).labels, ROWS[:5, :, 0].ravel())


def test_limit_keeps_the_first(folder):
    whole, some = cifar10(folder, verify=False), cifar10(folder, limit=5, verify=False)
    np.testing.assert_array_equal(some.x, whole.x[:5])
    np.testing.assert_array_equal(some.labels, whole.labels[:5])


def test_the_same_under_every_library(tmp_path, backend, dtype):
    write(tmp_path)
    expected = cifar10(tmp_path, "test", verify=False)
    data = cifar10(tmp_path, "test", xp=backend.xp, device=backend.device, dtype=dtype, verify=False)
    backend.check(data.x, expected.x, dtype)
    assert data.labels.dtype == backend.xp.int64
    np.testing.assert_array_equal(backend.numpy(data.labels), expected.labels)
    assert repr(data) == "Images(x (4, 3, 32, 32), labels (4,))"


def test_half_precision_under_torch(tmp_path, torch):
    write(tmp_path)
    x = cifar10(tmp_path, xp=torch, dtype="bfloat16", verify=False).x
    assert torch.equal(x, torch.tensor(cifar10(tmp_path, verify=False).x).to(torch.bfloat16))


def test_arrays_that_come_back_can_be_written_to(folder):
    data = cifar10(folder, verify=False)
    data.x[0, 0, 0, 0], data.labels[0] = 0.5, 7


# -- what is not there --------------------------------------------------------------------------------


def test_without_a_folder_it_says_how_to_get_the_files():
    with pytest.raises(
        FileNotFoundError, match="no folder is named, neither as folder nor by VGLIB_DATA"
    ) as e:
        cifar10()
    for part in (ARCHIVE, "https://www.cs.toronto.edu/~kriz/cifar.html", "VGLIB_DATA", "python version"):
        assert part in str(e.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    message = (
        r"^data_batch_1.bin and .* and data_batch_5.bin \(or cifar-10-binary.tar.gz\) not found; looked in"
    )
    with pytest.raises(FileNotFoundError, match=message):
        cifar10(tmp_path / "nowhere")
    write(tmp_path / "cifar10", data_batch_4=None)
    message = r"^data_batch_4.bin \(or cifar-10-binary.tar.gz\) not found; looked in .*batches-bin.*cifar10"
    with pytest.raises(FileNotFoundError, match=message):
        cifar10(tmp_path)
    # A folder, a pipe that nobody writes to, a link that leads round or nowhere: none is a file.
    path = tmp_path / "cifar10" / "data_batch_4.bin"
    path.mkdir()
    os.mkfifo(tmp_path / "cifar10" / ARCHIVE)
    with pytest.raises(FileNotFoundError, match=message):
        cifar10(tmp_path)
    path.rmdir()
    for target in (path, tmp_path / "nowhere"):
        path.symlink_to(target)
        with pytest.raises(FileNotFoundError, match=message):
            cifar10(tmp_path)
        path.unlink()
    path.symlink_to(write(tmp_path / "elsewhere") / path.name)
    assert cifar10(tmp_path, verify=False).x.shape[0] == 20


def test_a_folder_that_is_none(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for folder in (file, loop):
        with pytest.raises(FileNotFoundError, match="not found; looked in"):
            cifar10(folder)


def test_the_python_version_is_not_read(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(FileNotFoundError, match=r"the python version \(cifar-10-batches-py\) is not read"):
        cifar10(tmp_path)


# -- what is not CIFAR-10 -----------------------------------------------------------------------------

ROW = CONTENTS["test_batch.bin"][:3073]
LIES = {
    "cut short": (ROW[:-1], "1 to 10,000 rows of 3,073 bytes; got 3,072 bytes"),
    "no bytes": (b"", "1 to 10,000 rows of 3,073 bytes; got 0 bytes"),
    "a byte too many": (ROW + b"\0", "1 to 10,000 rows of 3,073 bytes; got 3,074 bytes"),
    "a row too many": (ROW * 10_001, "1 to 10,000 rows of 3,073 bytes; got more"),
    "no class": (ROW + b"\x0a" + ROW[1:], "must hold labels 0 to 9; row 1 has 10"),
    "CIFAR-100": (b"\x04\xff" + ROW[1:], "1 to 10,000 rows of 3,073 bytes; got 3,074 bytes"),
}


@pytest.mark.parametrize("lay", [write, pack])
@pytest.mark.parametrize("lie", LIES)
def test_files_that_lie(tmp_path, lie, lay):
    content, message = LIES[lie]
    if lay is write:
        write(tmp_path, test_batch=content)
    else:
        pack(tmp_path, [("test_batch.bin", content)])
    with pytest.raises(
        ValueError, match=rf"test_batch.bin must hold.*{message.removeprefix('must hold')}"
    ) as error:
        cifar10(tmp_path, "test", verify=False)
    assert str(tmp_path) in str(error.value)


def test_one_of_five_is_enough(tmp_path):
    write(tmp_path, data_batch_5=LIES["no class"][0])
    with pytest.raises(ValueError, match=r"data_batch_5.bin must hold labels"):
        cifar10(tmp_path, limit=1, verify=False)


def test_no_more_of_a_loose_file_is_read_than_there_should_be(tmp_path):
    write(tmp_path)
    with (tmp_path / "test_batch.bin").open("r+b") as file:
        file.truncate(HUGE)  # a hole
    tracemalloc.start()
    with pytest.raises(ValueError, match="got more"):
        cifar10(tmp_path, "test", verify=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


def linked(kind, target):
    member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    member.type, member.linkname = kind, target
    return member


ARCHIVES = {
    "nothing in it": ([], "does not hold test_batch.bin"),
    "another name": ([("test.bin", ROW)], "does not hold test_batch.bin"),
    "a link": ([(linked(tarfile.SYMTYPE, "/etc/passwd"), b"")], "does not hold test_batch.bin"),
    "a hard link": ([(linked(tarfile.LNKTYPE, "../secret"), b"")], "does not hold test_batch.bin"),
    "a device": ([(linked(tarfile.CHRTYPE, ""), b"")], "does not hold test_batch.bin"),
    "twice": ([("test_batch.bin", ROW), ("../test_batch.bin", ROW)], "holds test_batch.bin twice"),
}


@pytest.mark.parametrize("lie", ARCHIVES)
def test_archives_that_lie(tmp_path, lie):
    members, message = ARCHIVES[lie]
    pack(tmp_path, members)
    with pytest.raises(ValueError, match=rf"{ARCHIVE} {message}"):
        cifar10(tmp_path, "test", verify=False)
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]


@pytest.mark.parametrize("packed", [lambda b: b, lambda b: b"", lambda b: gzip.compress(b"no tar" * 200)])
def test_what_is_no_archive(tmp_path, packed):
    pack(tmp_path, packed=packed)
    with pytest.raises(ValueError, match=rf"{ARCHIVE} is damaged or cut short"):
        cifar10(tmp_path, verify=False)


def test_every_place_to_cut_an_archive(tmp_path):
    path = pack(tmp_path) / ARCHIVE
    whole = path.read_bytes()
    for length in {1, 9, 11, 300, len(whole) // 2, len(whole) - 9, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{ARCHIVE} is damaged or cut short"):
            cifar10(tmp_path, verify=False)
    # Packed as a whole, cut before: the members are there, or they are missed.
    pack(tmp_path, packed=lambda content: gzip.compress(content[: len(content) // 2]))
    with pytest.raises(ValueError, match=ARCHIVE):
        cifar10(tmp_path, verify=False)


@pytest.mark.parametrize("where", [0, 3, 300, 5000, -8, -4])
def test_archives_that_are_damaged(tmp_path, where):
    path = pack(tmp_path) / ARCHIVE
    content = bytearray(path.read_bytes())
    content[where] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=ARCHIVE):
        cifar10(tmp_path, verify=False)


def header(kind, content):
    """Return an extended header of an archive and what it holds."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize(
    "lies",
    [
        header(tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
        header(tarfile.XHDTYPE, b"25 GNU.sparse.map=1,2,3,x\n"),
        header(tarfile.XHDTYPE, b"9" * 30 + b" a=b\n"),
        header(tarfile.XHDTYPE, b"0 a=b\n"),
        header(tarfile.XHDTYPE, b"7 a=bc\n") * 2000,
        header(tarfile.GNUTYPE_LONGNAME, b"a\0") * 2000,
    ],
    ids=["sparse", "map", "length", "no length", "a chain", "a chain of names"],
)
def test_headers_that_lie(tmp_path, lies):
    pack(tmp_path, packed=lambda content: gzip.compress(lies + content))
    with pytest.raises(ValueError, match=rf"{ARCHIVE} is damaged or cut short"):
        cifar10(tmp_path, verify=False)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_more_of_an_archive_is_unpacked_than_there_should_be(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cifar, "MOST", 2**21)
    member = tarfile.TarInfo("bomb")
    member.type, member.size = kind, 2**26
    with gzip.open(tmp_path / ARCHIVE, "wb", compresslevel=1) as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"{ARCHIVE} is .*unpacks to more than 2,097,152 bytes"):
        cifar10(tmp_path, verify=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


# -- checksums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_checksums_are_of_the_files_that_are_there(folder, kind):
    sums = {p.name: hashlib.new(kind, p.read_bytes()).hexdigest() for p in folder.iterdir()}
    np.testing.assert_array_equal(cifar10(folder, verify=sums).labels, ROWS[:5, :, 0].ravel())
    cifar10(folder, verify={name: value.upper() for name, value in sums.items()})
    for name in {*TRAIN, ARCHIVE} & sums.keys():
        wrong = "0" * len(sums[name])
        with pytest.raises(
            ValueError, match=rf"{name} is not the known file: the (MD5|SHA-256) .* expected {wrong}"
        ):
            cifar10(folder, verify={**sums, name: wrong})
        with pytest.raises(ValueError, match=rf"verify\['{name}'\] must be an MD5 of 32 or .*; got 'abc'"):
            cifar10(folder, verify={**sums, name: "abc"})
        with pytest.raises(ValueError, match=rf"verify has no checksum for {name}"):
            cifar10(folder, verify={other: value for other, value in sums.items() if other != name})


def test_one_bit_is_enough(tmp_path):
    sums = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}
    content = bytearray(CONTENTS["data_batch_2.bin"])
    content[-1] ^= 1
    write(tmp_path, data_batch_2=bytes(content))
    with pytest.raises(ValueError, match=r"data_batch_2.bin is not the known file"):
        cifar10(tmp_path, verify=sums)


def test_an_archive_is_compared_before_it_is_opened(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=f"{ARCHIVE} is not the known file: the SHA-256"):
        cifar10(tmp_path)


def test_verified_means_all_of_cifar10(tmp_path):
    write(tmp_path)
    with pytest.raises(
        ValueError, match=r"data_batch_1.bin must hold 10,000 rows of 3,073 bytes; got 12,292 bytes"
    ):
        cifar10(tmp_path)
    # As many, and yet others.
    write(tmp_path, test_batch=ROW * 10_000)
    with pytest.raises(ValueError, match=r"test_batch.bin is not the known file: the MD5"):
        cifar10(tmp_path, "test")
    assert cifar10(tmp_path, "test", limit=5, verify=False).x.shape == (5, 3, 32, 32)


def test_known_checksums_are_of_all_files():
    assert sorted(SUMS) == sorted([ARCHIVE, *CONTENTS])
    assert len(set(SUMS.values())) == 7
    for name, value in SUMS.items():
        assert len(bytes.fromhex(value)) == (32 if name == ARCHIVE else 16)


@pytest.mark.skipif(not FOLDER, reason="VGLIB_DATA names no folder")
def test_the_readers_own_files():
    try:
        data = cifar10(FOLDER, "test", dtype="float32")
    except FileNotFoundError:
        pytest.skip(f"no CIFAR-10 in {FOLDER}")
    np.testing.assert_array_equal(np.bincount(data.labels), [1000] * 10)


# -- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "all"}, ValueError, "split must be one of 'train', 'test'; got 'all'"),
        ({"limit": 0}, ValueError, "limit must be at least 1; got 0"),
        ({"limit": 2.0}, TypeError, "limit must be an integer; got 2.0"),
        ({"limit": 21}, ValueError, "limit must be at most the 20 images of split='train'; got 21"),
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
        cifar10(**{"folder": tmp_path, "verify": False, **options})
