"""Result files: replaced as a whole, read only when whole."""

import json
from pathlib import Path

import numpy as np
import pytest

from vglib.course.reproductions import store


@pytest.fixture
def path(tmp_path):
    """A file with four runs."""
    path = tmp_path / "toy.jsonl"
    runs = [({"size": size}, seed) for size in (2, 1) for seed in (1, 0)]
    records = [store.make(settings, seed, {"value": seed / 3, "none": None}) for settings, seed in runs]
    store.write(path, records, {store.key(*run): {"minutes": 1.5, "device": "an abacus"} for run in runs})
    return path


def test_the_hash_does_not_depend_on_the_order_of_settings():
    assert store.settings_hash({"a": 1, "b": "ö"}) == store.settings_hash({"b": "ö", "a": 1})
    assert store.settings_hash({"a": 1}) != store.settings_hash({"a": 2})


def test_a_failed_replacement_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fails(source, target):
        assert Path(source).read_bytes()  # the new file is whole before it takes the place
        raise OSError("disk full")

    monkeypatch.setattr(store.os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        store.write(path, store.read(path)[:1], {})
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy.jsonl", "toy.meta.json"]


def line(change):
    def damage(good):
        record = json.loads(good)
        change(record)
        return json.dumps(record).encode()

    return damage


DAMAGES = {
    "truncated": lambda good: good[: len(good) // 2],
    "blank": lambda good: b"",
    "no text": lambda good: b"\xff" + good,
    "a conflict": lambda good: b"<<<<<<< HEAD",
    "no object": lambda good: b"[1]",
    "not finite": lambda good: good.replace(b"null", b"NaN"),
    "a field is missing": line(lambda record: record.pop("seed")),
    "a wrong kind": line(lambda record: record.update(seed="1")),
    "another schema": line(lambda record: record.update(schema=99)),
    "changed settings": line(lambda record: record["settings"].update(size=5)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_line_is_named_and_nothing_changes(path, damage):
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage(lines[2])
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(store.ResultsError, match=r"toy\.jsonl, line 3: not a whole record \(") as raised:
        store.read(path)
    assert "python -m vglib reproduce toy" in str(raised.value)
    assert path.read_bytes() == b"\n".join(lines)


def test_a_run_that_stands_twice_is_named(path):
    path.write_bytes(path.read_bytes() + path.read_bytes().split(b"\n")[0])
    with pytest.raises(store.ResultsError, match=r"line 5: .* earlier line"):
        store.read(path)


def test_damaged_minutes_are_named(path):
    path.with_suffix(".meta.json").write_text("{", encoding="utf-8")
    with pytest.raises(store.ResultsError, match=r"toy\.meta\.json is damaged"):
        store.read_meta(path)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), np.array([[0.0, np.inf]])])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match=r"numbers?\.inner must be finite"):
        store.make({}, 0, {"number": {"inner": value}})
