"""A training run goes on after any end as if nothing had been."""

import functools
import signal
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_a_checkpoint_changes_nothing(resumable, path, undisturbed):
    resumable.same(resumable.run(path=path), undisturbed)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]
    stored = torch.load(path, weights_only=True)
    fresh = resumable.model_of(3)
    fresh.load_state_dict(stored["model"])
    resumable.same((undisturbed[0], fresh.state_dict()), undisturbed)


@pytest.mark.parametrize("at", [1, 10, 25, 46])
def test_it_goes_on_after_a_failure(resumable, at, path, undisturbed):
    with pytest.raises(resumable.CutError):
        resumable.run(path=path, batches=resumable.cut_at(at, resumable.fail))
    resumable.same(resumable.run(path=path), undisturbed)


@pytest.mark.parametrize(
    "handed_over", [lambda clip: clip.__call__, lambda clip: functools.partial(clip.__call__)]
)
def test_the_state_behind_a_method_is_kept(resumable, handed_over, path, undisturbed):
    with pytest.raises(resumable.CutError):
        resumable.run(
            path=path, batches=resumable.cut_at(25, resumable.fail), clip=handed_over(resumable.Adaptive())
        )
    with pytest.raises(ValueError, match=r"clip was .*share: 0\.5.*, is .*share: 0\.6"):
        resumable.run(path=path, clip=handed_over(resumable.Adaptive(0.6)))
    resumable.same(resumable.run(path=path, clip=handed_over(resumable.Adaptive())), undisturbed)


def test_a_finished_run_is_not_run_again(resumable, path, undisturbed):
    resumable.run(path=path)
    before = path.read_bytes()
    again = resumable.run(path=path, batches=resumable.cut_at(1, resumable.fail))
    resumable.same(again, undisturbed)
    assert path.read_bytes() == before


def test_more_steps_go_on_and_fewer_are_refused(resumable, path, undisturbed):
    short, _ = resumable.run(path=path, steps=23)
    assert [entry["step"] for entry in short.evaluations] == [10, 20, 23]
    resumable.same(resumable.run(path=path), undisturbed)
    with pytest.raises(ValueError, match="steps must be at least the 47 that the checkpoint holds; got 46"):
        resumable.run(path=path, steps=46)


def test_where_it_stopped_it_stays(resumable, path):
    whole = resumable.run(stop=resumable.Patience(), steps=400)
    assert 30 < whole[0].stopped_at < 400
    resumable.same(resumable.run(stop=resumable.Patience(), steps=400, path=path), whole)
    resumable.same(resumable.run(stop=resumable.Patience(), steps=400, path=path), whole)
    path.unlink()
    at = whole[0].stopped_at - 5
    with pytest.raises(resumable.CutError):
        resumable.run(
            stop=resumable.Patience(), steps=400, path=path, batches=resumable.cut_at(at, resumable.fail)
        )
    resumable.same(resumable.run(stop=resumable.Patience(), steps=400, path=path), whole)


def test_what_is_not_finite_leaves_the_checkpoint_before(resumable, path, undisturbed):
    def batches(step):
        return resumable.batch_of(step) * (np.nan if step == 33 else 1.0)

    with pytest.raises(ValueError, match="first at step 33"):
        resumable.run(path=path, batches=batches)
    assert torch.load(path, weights_only=True)["step"] <= 30
    resumable.same(resumable.run(path=path), undisturbed)  # with the batch mended


@pytest.mark.parametrize("again", ["the same objects", "new ones"])
def test_interruption_waits_for_the_end_of_a_step(resumable, again, path, undisturbed):
    before = signal.getsignal(signal.SIGINT)
    model, clip = resumable.model_of(), resumable.Adaptive()
    interrupt = functools.partial(signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        resumable.run(model, path, resumable.cut_at(13, interrupt), clip=clip)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(path, weights_only=True)["step"] == 14
    if again == "the same objects":
        resumable.same(resumable.run(model, path, clip=clip), undisturbed)
    else:
        resumable.same(resumable.run(path=path), undisturbed)


def test_a_second_interruption_does_not_wait(resumable, path, undisturbed):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        resumable.run(path=path, batches=resumable.cut_at(13, twice))
    assert torch.load(path, weights_only=True)["step"] <= 10
    resumable.same(resumable.run(path=path), undisturbed)


def test_without_a_checkpoint_an_interruption_does_not_wait(resumable):
    with pytest.raises(KeyboardInterrupt):
        resumable.run(batches=lambda step: signal.raise_signal(signal.SIGINT))


def test_in_another_thread(resumable, path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(resumable.run(path=path)))
    thread.start()
    thread.join()
    resumable.same(found[0], undisturbed)


def test_whoever_reads_meanwhile_has_the_old_file_whole(resumable, path):
    resumable.run(path=path, steps=20)
    before = path.read_bytes()
    with path.open("rb") as old:
        resumable.run(path=path, steps=30)
        assert old.read() == before
    assert path.read_bytes() != before


def test_writing_takes_little_of_the_time(path, monkeypatch):
    from vglib.base.training import checkpoint

    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    file = checkpoint.Checkpoint(path, {})
    assert file.is_due()
    save = torch.save

    def slow(*arguments):
        clock[0] += 1.0
        return save(*arguments)

    monkeypatch.setattr(torch, "save", slow)
    file.write({})
    clock[0] += 18.9
    assert not file.is_due()
    clock[0] += 0.2
    assert file.is_due()
