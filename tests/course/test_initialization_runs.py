"""The trained grid and the measured slopes: pure, right in what they record, and as stored."""

import math

import numpy as np
import pytest

from vglib.course.reproductions import initialization, store

SETTINGS = {
    kind: next(s for s in initialization.REPRODUCTION.settings if s["kind"] == kind)
    for kind in ("slope", "train")
}
TINY = {"train": {"width": 30, "depth": 2, "updates": 20, "window": 10}, "slope": {"width": 20, "nets": 2}}


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_it_is_a_function_of_settings_and_seed(torch, kind):
    small = {**SETTINGS[kind], **TINY[kind]}
    first = initialization.run(small, 3)
    with torch.random.fork_rng():
        torch.rand(1)
        assert initialization.run(small, 3) == first
    assert initialization.run(small, 4) != first
    store.make(small, 3, first)


def test_it_learns_when_it_is_shallow(torch):
    small = {**SETTINGS["train"], "width": 60, "depth": 2, "updates": 100, "rate": 1e-2}
    result = initialization.run(small, 0)
    assert result["accuracy"] > 0.85
    assert len(result["train_loss"]) == 2
    assert result["train_loss"][1] < result["train_loss"][0] < 1.2 * math.log(10)


def test_slopes_are_near_the_prediction():
    result = initialization.run({**SETTINGS["slope"], "width": 150}, 0)
    assert len(result["slopes"]) == 10
    assert np.mean(result["slopes"]) == pytest.approx(result["log_chi"], rel=0.15)


def test_what_is_stored_is_what_is_computed(torch):
    for kind, settings in SETTINGS.items():
        stored = store.load("initialization", **settings)[0]
        assert stored["seed"] == 0
        now = initialization.run(settings, 0)
        for name, values in now.items():
            # Training amplifies rounding; the first window is before that.
            close = {"slope": 1e-4, "train": 0.02}[kind]
            np.testing.assert_allclose(values, stored["numbers"][name], rtol=close, atol=close, err_msg=name)
