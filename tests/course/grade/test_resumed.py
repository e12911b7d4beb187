"""A grader that is killed, or finds the disk full, loses no mark and grades nothing twice."""

import json
import os
import random
import signal
import subprocess
import time

COUNT = 200
# After so many kills it is left alone; each is at a random moment of a run that would take longer.
KILLS = 5


def _times(course):
    """Return when each record was written."""
    paths = course.path.glob("records/*/*.json")
    return {path: path.stat().st_mtime_ns for path in paths}


def _kill_at_random(course, draw):
    """Start the command and kill it with all that it has started, at a random moment; return if it ended."""
    before = len(_times(course))
    wanted = before + draw.randrange(2, 50)
    command = course.command("--jobs", 2, "--no-feedback")
    with subprocess.Popen(
        command, env=course.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            # Right after a record is a moment when the gradebook does not have its marks yet.
            while process.poll() is None and len(_times(course)) < wanted:
                time.sleep(0.002)
            time.sleep(draw.choice([0.0, 0.003, 0.03]))
        finally:
            process.send_signal(signal.SIGKILL)
        error = process.stderr.read()
    assert process.returncode in (0, -signal.SIGKILL), error
    return process.returncode == 0


def _killed(shared, notebooks):
    """Grade 200 submissions with a grader that is killed again and again; return all that is known of it."""
    contents = [
        json.dumps(notebooks.solved()),
        json.dumps(notebooks.blank()),
        json.dumps(notebooks.half()[0]),
    ]
    draw = random.Random(5)
    expected = {}
    for number in range(COUNT):
        # No two are the same, so that no two get the same inputs.
        kind = draw.randrange(3)
        shared.hand_in(f"learner-{number:03d}", contents[kind] + " " * number)
        expected[f"learner-{number:03d}", "initialization"] = kind
    seen = []
    for _ in range(KILLS):
        if _kill_at_random(shared, draw):
            break
        seen.append(_times(shared))
    said = shared.grade("--jobs", 2, "--no-feedback")
    seen.append(_times(shared))
    return shared, expected, seen, said


def test_two_hundred_submissions_and_a_grader_that_is_killed(course, notebooks):
    # One test: elsewhere two processes would share these, and each would do all of it.
    course, expected, seen, said = _killed(course, notebooks)
    _no_score_is_lost(course, expected, said, notebooks)
    _none_is_graded_twice(seen)
    _nothing_is_left_running_or_lying_about(course)


def _no_score_is_lost(course, expected, said, notebooks):
    full = notebooks.points(notebooks.solved())
    records = course.records()
    assert records.keys() == expected.keys()
    earned = {key: sum(mark["score"] for mark in record["marks"]) for key, record in records.items()}
    assert {key: score for key, score in earned.items() if expected[key] == 0} == dict.fromkeys(
        [key for key, kind in expected.items() if kind == 0], full
    )
    assert all(earned[key] == 0 for key, kind in expected.items() if kind == 1)
    assert all(0 < earned[key] < full for key, kind in expected.items() if kind == 2)
    assert course.scores() == earned
    assert course.marks() == {key: (f"{score:g}", f"{full:g}") for key, score in earned.items()}
    before = int(said.out.split(" graded now, ")[1].split(" before")[0])
    assert f"{COUNT - before} graded now, {before} before, 0 not graded" in said.out


def _none_is_graded_twice(seen):
    assert len(seen) == KILLS + 1
    last = seen[-1]
    assert len(last) == COUNT
    for times in seen:
        # A record that was there is the record that is there now.
        assert times.items() <= last.items()
    assert len(set(last.values())) == COUNT


def _nothing_is_left_running_or_lying_about(course):
    assert not list(course.path.rglob(".*.new"))
    mine = str(course.submissions).encode()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                assert mine not in file.read()
        except OSError:
            continue


def test_a_full_disk_stops_and_room_lets_it_go_on(course, notebooks, tmp_path):
    """The course folder lies on a small file system in memory, which somebody else fills meanwhile."""
    for number in range(8):
        course.hand_in(f"learner-{number:02d}", notebooks.solved())
    disk = course.path
    disk.mkdir()
    script = tmp_path / "on_a_small_disk.sh"
    script.write_text(
        """
set -u
disk=$1; shift
run() { "$@"; echo "exit code $?"; }
# Full from the beginning.
head -c 80000000 /dev/zero > $disk/filler
run "$@"
rm $disk/filler
# Full while it runs: room for some marks, but not for all.
"$@" > $disk/said 2>&1 & grader=$!
until ls $disk/records/*/*.json > /dev/null 2>&1; do sleep 0.01; done
cat /dev/zero > $disk/filler 2> /dev/null
wait $grader
echo "exit code $?"
cat $disk/said
rm -f $disk/said $disk/filler
ls $disk/records/*/*.json | wc -l
# Room again.
run "$@"
cat $disk/grades.csv
""",
        encoding="utf-8",
    )
    inside = ["bwrap", "--dev-bind", "/", "/", "--size", str(100 * 2**20), "--tmpfs", str(disk), "--"]
    command = [*inside, "bash", str(script), str(disk), *course.command("--jobs", "1", "--no-feedback")]
    done = subprocess.run(command, env=course.environment, capture_output=True, text=True, timeout=240)
    codes = [line for line in done.stdout.splitlines() if line.startswith("exit code ")]
    assert codes == ["exit code 3", "exit code 3", "exit code 0"], done.stdout + done.stderr
    assert f"nothing is graded: the disk of {disk} has " in done.stderr
    assert "stopped, and all marks so far are kept: " in done.stdout
    (full,) = [line for line in done.stdout.splitlines() if line.startswith("vglib grade: ")]
    assert "No space left on device" in full or "disk is full" in full
    assert str(disk) in full
    kept = next(int(line) for line in done.stdout.splitlines() if line.isdecimal())
    assert 1 <= kept < 8
    assert f"{8 - kept} graded now, {kept} before, 0 not graded" in done.stdout
    assert done.stdout.count(",initialization,graded,8,8,") == 8
