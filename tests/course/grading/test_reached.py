"""Nothing of worth can be reached from within a sandbox, whatever a cell tries."""

import json
import os
import platform
from pathlib import Path

import pytest

from vglib.course.grading.session import Session
from vglib.course.proofs import __file__ as proofs

ROOT = Path(__file__).parents[3]

# Each line: a name and what would be a way out if it worked; OSError means that it did not.
ATTEMPTS = """
write to the root: open("/x", "w")
write to devices: open("/dev/x", "w")
write to packages: open(os.__file__ + "x", "w")
write to the library: open(vglib.__file__, "a")
write to the kernel: open("/proc/sys/kernel/hostname", "w")
write to sysrq: open("/proc/sysrq-trigger", "w")
read a core: open("/proc/kcore", "rb").read(1)
read the kernel's log: open("/proc/kmsg", "rb").read(1)
open a terminal: os.openpty()
zeros that are shared memory: open("/dev/zero", "rb")
network: socket.socket(socket.AF_INET)
network in packets: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
vsock: socket.socket(socket.AF_VSOCK)
netlink: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
Bluetooth: socket.socket(31, socket.SOCK_RAW)
cryptography of the kernel: socket.socket(38, socket.SOCK_SEQPACKET)
the names of others: socket.socket(socket.AF_UNIX).connect("\\0/tmp/.X11-unix/X0")
datagrams: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
packets: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
large buffers: socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
other pairs: socket.socketpair(30, socket.SOCK_STREAM)
shared memory without a file: mmap.mmap(-1, 4096)
locks: fcntl.lockf(open("/tmp/lock", "w"), fcntl.LOCK_EX, 1, 7)
ptrace: libc("ptrace", 16, 1, 0, 0)
mount: libc("mount", b"none", b"/tmp", b"tmpfs", 0, 0)
unmount: libc("umount2", b"/proc", 2)
chroot: os.chroot("/tmp")
namespaces: libc("unshare", 0x10000000)
files of one's own: libc("unshare", 0x400)
another's namespace: libc("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)
a process in a namespace: call(56, 0x10000000 | 17, 0, 0, 0, 0)
a thread with its own files: call(56, 0x10000 | 0x800 | 0x100, 0, 0, 0, 0)
clone3: call(435, 0, 0)
bpf: call(321, 5, 0, 0)
keyctl: call(250, 0, -3, 0, 0, 0)
add_key: call(248, b"user", b"x", b"x", 1, -3)
io_uring: call(425, 8, ctypes.create_string_buffer(200))
memfd: call(319, b"x", 0)
memfd_secret: call(447, 0)
userfaultfd: call(323, 1)
watching files: libc("inotify_init1", 0)
perf: call(298, ctypes.create_string_buffer(200), 0, -1, -1, 0)
another's memory: call(310, 1, 0, 0, 0, 0, 0)
another's files: call(438, 0, 0, 0)
files by number: call(304, 0, 0, 0)
shared memory: call(29, 0, 4096, 0o1600)
messages: call(68, 0, 0o1600)
queues: call(240, b"x", 0o102, 0o600, 0)
modules: call(313, 0, b"", 0)
reboot: call(169, 0xfee1dead, 672274793, 0x1234567, 0)
time: call(227, 0, ctypes.create_string_buffer(16))
personality: call(135, 0x0040000)
closing with a copy: call(436, 100, 200, 2)
a device: os.mknod("/tmp/zero", 0o20666, os.makedev(1, 5))
root: os.setuid(0)
another user: os.setuid(1)
another group: os.setgroups([0])
more processes: resource.setrlimit(resource.RLIMIT_NPROC, (10_000, 10_000))
larger files: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))
real time: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
being first: os.nice(-5)
"""
CELL = """
import ctypes, fcntl, json, mmap, os, resource, socket, vglib
library = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
def libc(name, *arguments):
    checked(getattr(library, name)(*arguments))
def call(*arguments):
    checked(library.syscall(*arguments))
done = {}
for name, source in ATTEMPTS:
    try:
        eval(source)
        done[name] = "possible"
    except OSError as error:
        done[name] = error.errno
    except ValueError:  # a limit above the limit
        done[name] = 1
print(json.dumps(done))
"""
SEEN = """
import json, os
def listed(path):
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
written = []
for line in open("/proc/self/mounts"):
    place = line.split()[1]
    try:
        open(place + "/written", "w").close()
        written.append(place)
    except OSError:
        pass
status = dict(line.rstrip().split(":", 1) for line in open("/proc/self/status"))
about = {
    "read": [path for path in LOOK if os.access(path, os.R_OK)],
    "root": listed("/"), "first root": listed("/proc/1/root"), "dev": listed("/dev"), "etc": listed("/etc"),
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),
    "environment": dict(os.environ), "first environment": open("/proc/1/environ").read(),
    "descriptors": [os.readlink(f"/proc/self/fd/{fd}") for fd in listed("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{fd}")],
    "written": written, "uid": os.getuid(), "parent": os.getppid(),
    "rights": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "limits": [[line.split()[-3:-1] for line in open(f"/proc/{pid}/limits") if line.startswith(
        ("Max processes", "Max open files", "Max file size", "Max address space"))] for pid in (1, "self")],
    "first filter": [line.split()[1] for line in open("/proc/1/status") if line.startswith("Seccomp:")],
    "no new": status["NoNewPrivs"].strip(), "filter": status["Seccomp"].strip(),
    "network": [line.split(":")[0].strip() for line in open("/proc/net/dev")][2:],
}
print(json.dumps(about))
"""


def answers(session, source):
    well, printed = session.cell(source)
    assert well, printed
    return json.loads(printed)


def test_every_way_out_is_shut(session):
    attempts = [tuple(line.split(": ", 1)) for line in ATTEMPTS.strip().splitlines()]
    if platform.machine() != "x86_64":  # calls have other numbers there
        attempts = [one for one in attempts if not one[1].startswith("call(")]
    found = answers(session, f"ATTEMPTS = {attempts!r}\n{CELL}")
    assert len(found) == len(attempts)
    assert not [name for name, what in found.items() if what == "possible"]


def test_nothing_of_the_course_of_others_or_of_the_machine_is_seen(session, tmp_path):
    secret = tmp_path / "gradebook.db"
    secret.write_text("scores")
    course = Path(proofs).parents[1]
    look = [
        *[secret, tmp_path, Path.home(), Path.home() / ".bashrc", Path.home() / ".ssh"],
        *[ROOT / name for name in ("exercises", "tests", ".git", "chapters", "pyproject.toml", "COURSE.md")],
        *[
            course / name
            for name in ("grading", "release.py", "checks/clipping.py", "cli.py", "reproductions")
        ],
        *map(Path, ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/var", "/run", "/sys", "/home", "/boot")),
        *map(Path, ("/dev/sda", "/dev/vda", "/dev/kvm", "/dev/tty", "/dev/zero", "/dev/ptmx", "/dev/mem")),
    ]
    # The folders above Python's own are there, with nothing else in them.
    shown = {parent for path in map(Path, (os.__file__, proofs)) for parent in path.parents}
    found = answers(session, SEEN.replace("LOOK", repr([str(one) for one in look if one not in shown])))
    assert found["read"] == []
    assert found["root"] == found["first root"]
    assert found["dev"] == ["fd", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom"]
    assert set(found["etc"]) <= {"alternatives", "ld.so.cache"}
    assert found["processes"] <= 3
    assert found["parent"] == 1
    assert set(found["environment"]) <= {
        *("HOME", "PATH", "LANG", "PWD", "MPLBACKEND"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        *("LC_CTYPE", "PYDEVD_USE_FRAME_EVAL", "COLUMNS", "LINES", "TERM"),
    }
    assert found["first environment"].replace("\0", "") in ("", "PWD=/", "PWD=/tmp")
    assert [one.split(":")[0] for one in found["descriptors"] if "/dev/null" not in one] == ["socket"]
    assert set(found["written"]) == {"/tmp", "/dev/shm"}
    assert found["uid"] != 0
    assert found["rights"] == [0] * 5
    assert (found["no new"], found["filter"], found["first filter"]) == ("1", "2", ["2"])
    assert found["limits"][0] == found["limits"][1]
    assert ["64", "64"] in found["limits"][0]
    assert found["network"] in ([], ["lo"])


def test_two_sandboxes_do_not_see_each_other(sandbox, small):
    with Session(small) as one, Session(small) as other:
        one.cell("open('/tmp/here', 'w').close(); open('/dev/shm/here', 'w').close()")
        look = "import os; print(os.listdir('/tmp'), os.listdir('/dev/shm'), len(os.listdir('/proc/1/fd')))"
        assert "here" in one.cell(look)[1]
        assert "here" not in other.cell(look)[1]


@pytest.mark.parametrize("number", ["0x40000000 + 39", "39 | 0x40000000"])
def test_calls_of_another_architecture_end_the_process(session, number):
    from vglib.course.grading.session import Stopped

    if platform.machine() != "x86_64":
        pytest.skip("x86 alone has two others")
    with pytest.raises(Stopped):
        session.cell(f"import ctypes; ctypes.CDLL(None).syscall({number})")


def test_whoever_fills_the_first_process_ends_the_sandbox_alone(session):
    well, _ = session.cell(
        "import os\n"
        "for fd in os.listdir('/proc/1/fd'):\n"
        "    try:\n        os.write(os.open(f'/proc/1/fd/{fd}', os.O_WRONLY | os.O_NONBLOCK), b'x' * 8)\n"
        "    except OSError: pass\n"
        "os.kill(1, 9)\n"
    )
    assert well
    assert session.cell("print('alive')") == (True, "alive\n")
