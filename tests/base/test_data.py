"""The digits and the specimen sentence."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base.data import digits, specimen
from vglib.base.data.specimen import LONGEST, SHORTEST


@pytest.fixture(scope="module")
def sklearn_digits():
    """The source, as scikit-learn gives it."""
    return pytest.importorskip("sklearn.datasets").load_digits()


@pytest.mark.parametrize(("order", "shape"), [("rows", (8, 1797, 8)), ("pixels", (64, 1797, 1))])
def test_digits_are_all_of_scikit_learns_in_reading_order(sklearn_digits, order, shape):
    data = digits(order)
    assert data.x.shape == shape
    assert data.labels.shape == shape[1:2]
    assert (data.x.min(), data.x.max()) == (0, 1)
    images = np.swapaxes(data.x, 0, 1).reshape(-1, 64)
    ours = np.column_stack([images, data.labels])
    theirs = np.column_stack([sklearn_digits.images.reshape(-1, 64) / 16, sklearn_digits.target])
    assert not np.array_equal(ours, theirs)  # shuffled
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_split_is_disjoint_and_complete(sklearn_digits, seed):
    train, test = (digits(split=split, seed=seed) for split in ("train", "test"))
    assert test.x.shape[1] == len(test.labels) == 360
    assert train.x.shape[1] == len(train.labels) == 1437
    whole = {tuple(row) for row in sklearn_digits.images.reshape(-1, 64) / 16}
    assert len(whole) == 1797  # no image twice, so an image tells who it is
    parts = [{tuple(row) for row in np.swapaxes(d.x, 0, 1).reshape(-1, 64)} for d in (train, test)]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    assert set(test.labels.tolist()) == set(range(10))


def test_digits_seed_decides_the_shuffle(sklearn_digits):
    first, again, other = (digits(split="test", seed=seed).labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_digits_are_the_same_under_every_library(sklearn_digits, backend, dtype, split):
    expected = digits("pixels", split, seed=3)
    data = digits("pixels", split, seed=3, xp=backend.xp, device=backend.device, dtype=dtype)
    backend.check(data.x, expected.x, dtype)
    assert backend.xp.int64 == data.labels.dtype
    np.testing.assert_array_equal(backend.numpy(data.labels), expected.labels)


@pytest.mark.parametrize("side", [9, 16, 28])
def test_larger_digits_against_torch(sklearn_digits, torch, side):
    plain = torch.tensor(np.swapaxes(digits("rows", "test").x, 0, 1).copy())
    expected = torch.nn.functional.interpolate(plain[:, None], (side, side), mode="bilinear")[:, 0].numpy()
    rows = digits("rows", "test", side=side)
    assert rows.x.shape == (side, 360, side)
    np.testing.assert_allclose(np.swapaxes(rows.x, 0, 1), expected, atol=1e-14)
    pixels = digits("pixels", "test", side=side)
    assert pixels.x.shape == (side**2, 360, 1)
    np.testing.assert_array_equal(pixels.x[:, :, 0].reshape(side, side, 360), np.moveaxis(rows.x, 1, 2))
    np.testing.assert_array_equal(pixels.labels, digits("pixels", "test").labels)


def test_digits_permutation_is_one_for_all_images_and_splits(sklearn_digits):
    plain, shuffled = (digits("pixels", "train", permutation=p).x for p in (None, 5))
    assert not np.array_equal(plain, shuffled)
    # Where each pixel went is told by its column over all images, and must hold for the others too.
    columns = {column.tobytes(): t for t, column in enumerate(plain[:, :, 0])}
    unique = [t for t in range(64) if plain[t].any() and shuffled[t].any()]
    went = {t: columns[shuffled[t, :, 0].tobytes()] for t in unique}
    assert len(set(went.values())) == len(unique) > 50
    test_plain, test_shuffled = (digits("pixels", "test", permutation=p).x for p in (None, 5))
    for t, source in went.items():
        np.testing.assert_array_equal(test_shuffled[t], test_plain[source])
    for x, y in ((plain, shuffled), (test_plain, test_shuffled)):
        np.testing.assert_array_equal(np.sort(x, axis=0), np.sort(y, axis=0))
    again, other = (digits("pixels", "train", permutation=p).x for p in (5, 6))
    np.testing.assert_array_equal(shuffled, again)
    assert not np.array_equal(shuffled, other)


def test_digits_permutation_does_not_depend_on_the_seed(sklearn_digits):
    def order(seed):
        plain, shuffled = (digits("pixels", seed=seed, permutation=p).x for p in (None, 0))
        return [np.flatnonzero((plain == step).all(axis=(1, 2))).tolist() for step in shuffled]

    assert order(0) == order(1)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r'digits need scikit-learn.*pip install "vglib\[data\]"'):
        digits()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"order": "columns"}, ValueError, "order must be one of 'rows', 'pixels'; got 'columns'"),
        ({"split": "valid"}, ValueError, "split must be one of 'all', 'train', 'test'; got 'valid'"),
        ({"dtype": "int64"}, TypeError, "dtype must be one of float32, float64; got int64"),
        ({"dtype": "float16"}, TypeError, "dtype must be .*half precision needs torch"),
        ({"xp": "numpy"}, TypeError, "xp must be an array module"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"seed": 1.0}, TypeError, "seed must be an integer; got 1.0"),
        ({"side": 7}, ValueError, "side must be at least 8; got 7"),
        ({"side": 28.0}, TypeError, "side must be an integer; got 28.0"),
        ({"permutation": 3}, ValueError, "permutation .* needs order='pixels'; got order='rows'"),
        ({"order": "pixels", "permutation": -1}, ValueError, "permutation must be at least 0; got -1"),
        ({"order": "pixels", "permutation": True}, TypeError, "permutation must be an integer; got True"),
    ],
)
def test_digits_bad_input(sklearn_digits, options, error, message):
    with pytest.raises(error, match=message):
        digits(**options)


@given(lag=st.integers(SHORTEST, LONGEST), inputs=st.integers(1, 5))
def test_specimen_has_its_lag_and_one_vector_a_word(backend, lag, inputs):
    sentence = specimen(lag, inputs, xp=backend.xp, device=backend.device)
    assert sentence.lag == lag
    assert sentence.words[sentence.source] == "France"
    assert sentence.target == "French"
    assert sentence.words[:4] == ("I", "grew", "up", "in")
    assert sentence.words[-4:] == ("I", "still", "speak", "fluent")
    # "French" would be the next word: as many words lie between as the lag says.
    assert (*sentence.words, sentence.target).index("French") - sentence.words.index("France") == lag
    x = backend.numpy(sentence.x)
    assert x.shape == (len(sentence.words), 1, inputs)
    vectors = {}
    for word, vector in zip(sentence.words, x[:, 0], strict=True):
        np.testing.assert_array_equal(vectors.setdefault(word, vector), vector)
    assert len({tuple(v) for v in vectors.values()}) == len(set(sentence.words))
    longest = specimen(LONGEST, inputs)
    np.testing.assert_array_equal(x[:5], longest.x[:5])
    backend.check(sentence.x, specimen(lag, inputs).x)


def test_specimen_vectors_are_standard_normal_and_follow_the_seed():
    x = specimen(LONGEST, inputs=400).x
    assert abs(x.mean()) < 0.05
    assert x.std() == pytest.approx(1, abs=0.05)
    assert np.min(np.abs(x - specimen(LONGEST, inputs=400, seed=1).x)) > 0


def test_specimen_dtype(backend, dtype):
    sentence = specimen(xp=backend.xp, device=backend.device, dtype=dtype)
    backend.check(sentence.x, specimen().x, dtype)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lag": SHORTEST - 1}, ValueError, "lag must be at least 5; got 4"),
        ({"lag": -3}, ValueError, "lag must be at least 5; got -3"),
        ({"lag": LONGEST + 1}, ValueError, rf"lag must be 5 to {LONGEST} words; got {LONGEST + 1}"),
        ({"lag": 16.0}, TypeError, r"lag must be an integer; got 16\.0"),
        ({"lag": "16"}, TypeError, "lag must be an integer; got '16'"),
        ({"inputs": 0}, ValueError, "inputs must be at least 1; got 0"),
        ({"inputs": True}, TypeError, "inputs must be an integer; got True"),
        ({"inputs": 2.5}, TypeError, r"inputs must be an integer; got 2\.5"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"dtype": "int8"}, TypeError, "dtype must be one of .*; got int8"),
    ],
)
def test_specimen_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        specimen(**options)
