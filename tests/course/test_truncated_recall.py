"""Recall with truncated gradients: pure, exact where it claims to be, and as stored."""

import numpy as np
import pytest

from vglib.course.reproductions import store, truncated_recall

SETTINGS = {s["k2"]: {**s, "updates": 20, "window": 10} for s in truncated_recall.REPRODUCTION.settings}


def test_it_is_a_function_of_settings_and_seed():
    first = truncated_recall.run(SETTINGS[4], 3)
    np.random.default_rng(0).normal()
    assert truncated_recall.run(SETTINGS[4], 3) == first
    assert truncated_recall.run(SETTINGS[4], 4) != first
    assert len(first["accuracy"]) == 2
    assert truncated_recall.run(SETTINGS[16], 3)["share"] == 0
    assert 0 < truncated_recall.run(SETTINGS[12], 3)["share"] < truncated_recall.run(SETTINGS[1], 3)["share"]


def test_it_learns_a_short_lag():
    short = {**SETTINGS[16], "lag": 3, "k2": 3, "updates": 400, "window": 100}
    assert truncated_recall.run(short, 0)["accuracy"][-1] > 0.95


@pytest.mark.parametrize("k2", SETTINGS)
def test_what_is_stored_is_what_it_computes(k2):
    settings = next(s for s in truncated_recall.REPRODUCTION.settings if s["k2"] == k2)
    stored = store.load("truncated_recall", **settings)
    assert [record["seed"] for record in stored] == list(range(10))
    now = truncated_recall.run({**settings, "updates": 100}, 0)
    np.testing.assert_allclose(now["accuracy"], stored[0]["numbers"]["accuracy"][:2], rtol=1e-4)
    assert now["share"] == pytest.approx(stored[0]["numbers"]["share"], rel=1e-4)
