"""The generated machine: its equations step by step, and its statistics against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vglib.base.data import sensor


@given(delay=st.integers(8, 90), more=st.integers(1, 600), seed=st.integers(0, 99))
def test_targets_follow_from_what_the_sensors_saw(delay, more, seed):
    steps = delay + more
    series = sensor(steps, seed, delay=delay)
    assert series.x.shape == (steps, 1, 2)
    heard = [t for t in range(steps) if series.x[t, 0, 1] > 2]  # 4 ± 0.1 among 0 ± 0.1
    assert list(series.stones) == heard
    warmth = 0.0
    for t in range(steps):
        warmth += (series.x[t, 0, 0] - warmth) / 32
        leak = any(t - delay - i in series.stones for i in range(delay // 8))
        assert series.warmth[t, 0] == pytest.approx(warmth / 2)
        assert series.leak[t, 0] == leak
    np.testing.assert_array_equal(series.target, series.warmth + series.leak)


def test_nothing_recent_tells_of_a_leak():
    series = sensor(400_000, delay=64)
    leak, stones = series.leak[:, 0], np.zeros(400_000)
    stones[list(series.stones)] = 1
    leak = leak - leak.mean()
    lags = np.array([np.mean(leak[100:] * stones[100 - lag : len(stones) - lag]) for lag in range(100)])
    within = (lags * 64 > 0.2).nonzero()[0]
    assert within.tolist() == list(range(64, 72))  # delay … delay + delay/8 − 1
    # The others are zero within five standard errors.
    others = np.delete(lags, within)
    assert np.abs(others).max() < 5 * math.sqrt(leak.var() / 64 / len(leak) * 8)
    assert abs(np.corrcoef(series.x[:, 0, 0], leak)[0, 1]) < 0.02


def test_statistics_of_stones_and_leaks():
    delay, steps = 64, 640_000
    series = sensor(steps, delay=delay)
    assert abs(len(series.stones) - steps / delay) < 5 * math.sqrt(steps / delay)
    share = 1 - (1 - 1 / delay) ** (delay // 8)
    assert series.leak[delay:].mean() == pytest.approx(share, rel=0.05)
    assert series.baseline == pytest.approx(share * (1 - share), rel=0.05)
    assert series.baseline == pytest.approx(series.leak[delay:].var())
    assert not series.leak[:delay].any()
    # Gaps are geometric: their mean is the delay, and one in e is longer.
    gaps = np.diff(series.stones)
    assert gaps.mean() == pytest.approx(delay, rel=0.05)
    assert (gaps > delay).mean() == pytest.approx((1 - 1 / delay) ** delay, abs=0.02)


def test_statistics_of_the_thermometer():
    delay, steps = 16, 1440 * 400
    x = sensor(steps, delay=delay).x[:, 0, 0]
    # The day is a pure line of amplitude 1 in the spectrum.
    spectrum = np.fft.rfft(x) / steps
    assert 2 * abs(spectrum[400]) == pytest.approx(1, abs=0.02)
    days = np.exp(2j * np.pi * np.arange(steps) / 1440)
    rest = x - 2 * np.real(spectrum[400] * days)
    # What is left is the season, ¼ a^lag, and at lag 0 the noise, 0.01.
    a = 1 - 1 / delay
    for lag in (0, 1, 5, 16, 40):
        expected = 0.25 * a**lag + (0.01 if lag == 0 else 0)
        assert np.mean(rest[: steps - lag] * rest[lag:]) == pytest.approx(expected, abs=0.01)


def test_the_season_starts_where_it_stays_and_the_phase_is_even():
    first = np.array([sensor(9, seed, delay=8).x[0, 0, 0] for seed in range(4000)])
    # sin of an even phase has variance ½; the season ¼; the noise 0.01.
    assert first.var() == pytest.approx(0.76, abs=0.05)
    assert abs(first.mean()) < 5 * math.sqrt(0.76 / 4000)


def test_noise_of_the_microphone():
    series = sensor(100_000, delay=1000)
    quiet = np.delete(series.x[:, 0, 1], series.stones)
    assert quiet.std() == pytest.approx(0.1, rel=0.02)
    assert series.x[list(series.stones), 0, 1].mean() == pytest.approx(4, abs=0.1)


def test_the_series_of_the_course():
    series = sensor()
    assert series.x.shape == (65_536, 1, 2)
    assert series.target.shape == series.warmth.shape == series.leak.shape == (65_536, 1)
    assert series.delay == 4096
    assert len(series.stones) >= 8
    assert 0.05 < series.baseline < 0.25
    assert repr(series) == f"Sensor(x (65536, 1, 2), delay=4096, {len(series.stones)} stones)"


def test_seeds():
    first, again, other = (sensor(100, seed, delay=16).x for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.min(np.abs(first - other)) > 0


def test_the_same_under_every_library(backend, dtype):
    expected = sensor(300, 3, delay=32)
    series = sensor(300, 3, backend.xp, backend.device, dtype, delay=32)
    for name in ("x", "target", "warmth", "leak"):
        backend.check(getattr(series, name), getattr(expected, name), dtype)
    assert series.stones == expected.stones
    assert series.baseline == pytest.approx(expected.baseline, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1; got 0"),
        ({"steps": 4096}, ValueError, "steps must be more than delay=4096, lest no leak can come; got 4096"),
        ({"steps": 1e5}, TypeError, "steps must be an integer; got 100000.0"),
        ({"delay": 7}, ValueError, "delay must be at least 8; got 7"),
        ({"delay": "8"}, TypeError, "delay must be an integer; got '8'"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"seed": 0.5}, TypeError, "seed must be an integer; got 0.5"),
        ({"dtype": "int64"}, TypeError, "dtype must be one of float32, float64; got int64"),
        ({"xp": "numpy"}, TypeError, "xp must be an array module"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        sensor(**options)
