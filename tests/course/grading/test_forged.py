"""Messages that nobody asked for: what a learner's code writes to the grader's socket itself."""

import pytest

# Finds the socket, and frames bytes as the grader expects them.
PRELUDE = """
import os, struct, sys, threading, time
from vglib.course.wire import pack
FD = next(int(fd) for fd in os.listdir("/proc/self/fd") if fd.isdigit() and int(fd) > 2
          and os.path.exists(f"/proc/self/fd/{fd}") and "socket" in os.readlink(f"/proc/self/fd/{fd}"))
def put(data):
    while data:
        data = data[os.write(FD, data):]
def send(data):
    put(struct.pack("!i", len(data)) + data)
def framed(header, arrays=b""):
    return struct.pack(">I", len(header)) + header + arrays
"""
# In a call: written instead of, or before, what would be answered.
FORGED = {
    "an answer with another number": 'send(pack({"id": 1, "ok": True, "text": ""}))',
    "a million answers": 'one = pack({"id": 1, "ok": True, "text": ""})\nfor i in range(10**6): send(one)',
    "half a message": 'put(struct.pack("!i", 1000) + b"x")\ntime.sleep(60)',
    "a length of a gigabyte": 'put(struct.pack("!i", 2**30) + b"x" * 10**6)',
    "a length of an exabyte": 'put(struct.pack("!iQ", -1, 2**60) + b"x" * 10**6)',
    "a negative length": 'put(struct.pack("!i", -7) + b"x" * 10**6)',
    "bytes": "send(os.urandom(1000))",
    "a header longer than its message": 'send(struct.pack(">I", 2**20) + b"{}")',
    "deep JSON": 'send(framed(b"[" * 10**6))',
    "deep JSON, closed": 'send(framed(b"[" * 400_000 + b"]" * 400_000))',
    "a long number": 'send(framed(b"1" * 10**6))',
    "a text for a number": """send(framed(b'{"value":["dict",["id","1"],["text","x"]],"arrays":[]}'))""",
    "code": "import pickle\nsend(pickle.dumps(print))",
    "drop by drop": 'while True:\n    put(b"\\0")\n    time.sleep(0.1)',
    "a closed socket and a sleeper": "os.close(FD)\ntime.sleep(60)",
    "a child with the socket": "if os.fork():\n    os._exit(0)\ntime.sleep(60)",
    "a child that answers": "if os.fork() == 0:\n    return 0.5",
}
# Replies with the right number, since the guest's own code is asked to send them.
REPLIES = {
    "more bytes than the header says": """b'{"value":1.0,"arrays":[]}', b"x" * 100""",
    "fewer bytes than the header says": """b'{"value":["array",0],"arrays":[["float64",[99]]]}', b"x" * 8""",
    "a shape beyond memory": """b'{"value":["array",0],"arrays":[["bool",[33554432,33554432]]]}', b"x" """,
    "nothing of an endless shape": """b'{"value":["array",0],"arrays":[["bool",[0,33554432,33554432]]]}'""",
    "a negative shape": """b'{"value":["array",0],"arrays":[["bool",[-1]]]}', b"x" """,
    "objects": """b'{"value":["array",0],"arrays":[["object",[1]]]}', b"x" * 8""",
    "an array that is not there": """b'{"value":["array",3],"arrays":[]}'""",
    "one array 40,000 times": (
        """b'{"value":["dict",["value",["list",["list"' + b',["array",0]' * 40_000 + b']]]],'"""
        """b'"arrays":[["float64",[1000000]]]}', b"x" * 8_000_000"""
    ),
    "a hundred thousand arrays of nothing": (
        """b'{"value":1.0,"arrays":[' + b'["bool",[0]],' * 70_000 + b'["bool",[0]]]}'"""
    ),
    "a full message": """b'{"value":["array",0],"arrays":[["uint8",[33000000]]]}', b"x" * 33_000_000""",
    "a text of half a megabyte": """b'{"value":"' + b"x" * 500_000 + b'","arrays":[]}'""",
    "not what was asked for": """b'{"value":["dict",["value",["dict",["error","x"]]]],"arrays":[]}'""",
    "an array for an error": """b'{"value":["dict",["error",["array",0]]],"arrays":[["bool",[1]]]}', b"x" """,
    "too few answers": """b'{"value":["dict",["value",["list"]]],"arrays":[]}'""",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_ends_the_sandbox_or_is_no_answer(notebook, hand_in, others_count, name):
    lines = "\n".join(f"    {line}" for line in FORGED[name].split("\n"))
    notebook.answer(f"{PRELUDE}\ndef NAME(*inputs):\n{lines}\n    return 0.5")
    result = hand_in(notebook, call=1.0)
    mark = others_count(notebook, result)
    assert mark.stopped in ("", "time", "died", "protocol")
    assert all(line.isprintable() for line in result.reports)


@pytest.mark.parametrize("name", REPLIES)
def test_a_lying_reply_is_no_answer(notebook, hand_in, others_count, name):
    patch = f"import vglib.course.guest as guest\nguest.answer = lambda *about: framed({REPLIES[name]})"
    notebook.answer(f"{PRELUDE}\ndef NAME(*inputs):\n    return 0.5\n{patch}")
    # Whoever runs in the same sandbox afterwards gets the lying reply as well; what came before stays.
    result = hand_in(notebook)
    before, mark = result.marks[0], next(one for one in result.marks if one.task == notebook.task)
    assert before.score == before.points
    assert mark.score == 0
    assert len(mark.text) > 10
    assert all(line.isprintable() for line in result.reports)


@pytest.mark.parametrize("what", ["os.write(FD, b'x' * 50)", "os.close(FD)"])
def test_a_message_after_the_answer_costs_its_sender_alone(notebook, hand_in, others_count, what):
    late = f"threading.Thread(target=lambda: (time.sleep(0.3), {what})).start()"
    notebook.answer(f"{PRELUDE}\n{late}\ndef NAME(*inputs):\n    time.sleep(0.8)\n    return 0.5")
    others_count(notebook, hand_in(notebook))


def test_the_number_of_a_question_is_new_each_time(session):
    numbers = {session._next() for _ in range(1000)}
    assert len(numbers) == 1000
    assert 0 not in numbers
