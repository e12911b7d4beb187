"""The threshold bench: pure, right in its steps, and as stored."""

import numpy as np
import pytest

from vglib.course.reproductions import clipping, store

SETTINGS = clipping.REPRODUCTION.settings[0]
SMALL = {**SETTINGS, "hidden": 8, "lag": 5, "updates": 20, "window": 10}


def test_it_is_a_function_of_settings_and_seed():
    first = clipping.run(SMALL, 3)
    np.random.default_rng(0).normal()
    assert clipping.run(SMALL, 3) == first
    assert clipping.run(SMALL, 4) != first
    assert len(first["loss"]) == len(first["accuracy"]) == 2
    assert first["grad_norm"] is None
    assert len(clipping.run(SMALL, 0)["grad_norm"]) == 20
    store.make(SMALL, 3, first)


def test_rules():
    norms = [1.0, 4.0, 2.0]
    found = {rule: [float(clipping.threshold_of(rule)(norm)) for norm in norms] for rule in clipping.RULES}
    assert found["none"] == [np.inf] * 3
    assert found["0.1"] == [0.1] * 3
    kept = clipping.threshold_of("percentile 10")
    assert [float(kept(n)) for n in norms] == pytest.approx(
        [np.percentile(norms[: i + 1], 10) for i in range(3)]
    )


def test_a_rule_moves_the_weights_by_no_more_than_it_says(monkeypatch):
    moves = []

    class Watched(clipping.RNN):
        def replace(self, **changes):
            if len(changes) == 4:
                old = self.parameters
                moves.append(np.sqrt(sum(np.sum((changes[n] - old[n]) ** 2) for n in old)))
            return super().replace(**changes)

    monkeypatch.setattr(clipping, "RNN", Watched)
    result = clipping.run({**SMALL, "rule": "0.1"}, 0)
    assert max(moves) <= 0.1 * SMALL["rate"] * (1 + 1e-12)
    assert result["clipped"] > 0.5
    assert result["max_norm"] > 0.1


def test_it_records_where_it_diverged(monkeypatch):
    calls, plain = [], clipping.gradients

    def explodes(*arguments):
        calls.append(arguments)
        loss, right, gradients = plain(*arguments)
        return (
            loss,
            right,
            {**gradients, "readout": gradients["readout"] * (np.inf if len(calls) == 13 else 1)},
        )

    monkeypatch.setattr(clipping, "gradients", explodes)
    with np.errstate(invalid="ignore"):
        result = clipping.run(SMALL, 0)
    assert result["diverged_at"] == 13
    assert len(result["loss"]) == 1
    assert len(result["grad_norm"]) == 12
    store.make(SMALL, 0, result)


@pytest.mark.parametrize("rule", ["none", "1", "percentile 10"])
def test_what_is_stored_is_what_it_computes(rule):
    settings = next(s for s in clipping.REPRODUCTION.settings if s["rule"] == rule)
    stored = store.load("clipping", **settings)[0]
    assert stored["seed"] == 0
    now = clipping.run({**settings, "updates": 40}, 0)
    for name in ("loss", "accuracy", "grad_norm", "threshold"):
        expected = stored["numbers"][name][: len(now[name])]
        for got, value in zip(now[name], expected, strict=True):
            assert got == value if value is None else got == pytest.approx(value, rel=2e-2), name
