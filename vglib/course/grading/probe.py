"""Can this machine grade safely? Everything that a sandbox promises, tried from within one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vglib.course.grading.limits import Limits
from vglib.course.grading.sandbox import SETTINGS, SandboxError, processes
from vglib.course.grading.session import Session, Stopped
from vglib.course.grading.syscalls import FilterError

__all__ = ["Finding", "probe", "report"]

# Each runs inside and prints what it found as JSON.
_INSIDE = """
import ctypes, json, os, socket
found = {}

def refused(name, function):
    try:
        function()
    except OSError as error:
        found[name] = "ok"
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
    else:
        found[name] = "it was possible"

def raw(number, *arguments):
    if ctypes.CDLL(None, use_errno=True).syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")

def outward():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(1)
        one.connect(("192.0.2.1", 80))

libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    def run():
        if getattr(libc, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), "refused")
    return run

refused("network", outward)
refused("namespaces", call("unshare", 0x10000000))
refused("mounts", call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
refused("other processes", call("ptrace", 16, 1, None, None))
refused("memory outside", call("memfd_create", b"x", 0))
refused("writing outside", lambda: open("/written", "w"))
refused("writing to devices", lambda: open("/dev/written", "w"))
refused("writing to packages", lambda: open(os.path.join(os.path.dirname(json.__file__), "written"), "w"))
found["no rights"] = "ok" if os.getuid() != 0 else "the process is root"
status = open("/proc/self/status").read()
held = [line for line in status.splitlines() if line.startswith("CapEff") or line.startswith("CapBnd")]
found["no capabilities"] = "ok" if all(int(line.split()[1], 16) == 0 for line in held) else str(held)
seen = sum(name.isdigit() for name in os.listdir("/proc"))
found["own processes"] = "ok" if seen < 8 else f"{seen} are seen"
secrets = [path for path in LOOK if os.path.exists(path)]
found["your files"] = "ok" if not secrets else f"{secrets[0]} can be read"
names = set(os.environ) - ALLOWED
found["your environment"] = "ok" if not names else f"{sorted(names)[0]} can be read"
children = []
try:
    while len(children) < 500:
        pid = os.fork()
        if pid == 0:
            import time
            time.sleep(5)
            os._exit(0)
        children.append(pid)
    found["number of processes"] = "500 were started"
except OSError:
    found["number of processes"] = "ok"
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print(json.dumps(found))
"""

_REMEDIES = {
    "start": (
        "install it: apt-get install bubblewrap libseccomp2; and allow ordinary users to make namespaces: "
        "sysctl kernel.unprivileged_userns_clone=1 (Debian), or an AppArmor profile that lets bwrap do so "
        "(Ubuntu 24.04 and later: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    ),
    "number of processes": "limits on processes need Linux 5.14 or later",
}
_OTHER = "do not grade on this machine; tell us what it is"


@dataclass(frozen=True)
class Finding:
    """One promise of the sandbox.

    Attributes
    ----------
    name : str
        What was tried.
    problem : str
        What is wrong; empty if it is kept.
    """

    name: str
    problem: str = ""


def probe(*, secret: Path | None = None, quick: bool = False) -> list[Finding]:
    """Try everything that a sandbox promises; return what was found, the first problem with starting alone.

    Parameters
    ----------
    secret
        A file or folder that must not be seen inside.
    quick
        Leave out what takes seconds: that too much time or memory ends it, and that nothing outlives it.
    """
    # Children share their parent's memory, and it counts for each of them: many of them have a lot of it.
    limits = replace(Limits(), cell=20.0, start=30.0, memory=2**34)
    look = [
        str(path)
        for path in (secret, Path.home() / ".bashrc", Path.home() / ".ssh", Path("/etc/shadow"))
        if path
    ]
    begun = time.monotonic()
    try:
        with Session(limits) as session:
            took = time.monotonic() - begun
            text = _INSIDE.replace("LOOK", repr(look)).replace("ALLOWED", repr({"PWD", *SETTINGS}))
            _, printed = session.cell(text)
            try:
                inside = json.loads(printed)
            except ValueError:
                return [Finding("start", f"the sandbox answered: {printed.strip()[:500]}")]
    except (FilterError, SandboxError, Stopped) as error:
        return [Finding("start", str(error))]
    findings = [Finding(f"starts, in {took:.2f} s")]
    findings += [Finding(name, "" if what == "ok" else what) for name, what in inside.items()]
    if quick:
        return findings
    findings.append(Finding("time", _stopped("while True: pass", replace(limits, cell=1.0), "time")))
    memory = replace(limits, memory=400 * 2**20)
    findings.append(
        Finding("memory", _stopped("held = b'x' * (900 << 20); import time; time.sleep(5)", memory, "memory"))
    )
    findings.append(Finding("nothing left behind", _left_behind(limits)))
    return findings


def _stopped(source: str, limits: Limits, kind: str) -> str:
    try:
        with Session(limits) as session:
            session.cell(source)
    except Stopped as stopped:
        return "" if stopped.kind == kind else f"it was stopped for another reason: {stopped}"
    except SandboxError as error:
        return str(error)
    return "it was not stopped"


def _left_behind(limits: Limits) -> str:
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n    os._exit(0)"
    with Session(limits) as session:
        session.cell(daemon)
        inside = processes(session.process_id)
    for _ in range(40):
        left = [pid for pid in inside if _is_alive(pid)]
        if not left:
            return ""
        time.sleep(0.05)
    return f"processes {left} outlived their sandbox"


def _is_alive(pid: int) -> bool:
    """Return whether a process is there and has not ended: in a container nobody may ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def report(findings: list[Finding], write: Callable[[str], None]) -> bool:
    """Write what was found, and what to do about it; return whether grading is safe here."""
    bad = [one for one in findings if one.problem]
    for one in findings:
        write(f"{'no ' if one.problem else 'yes'}  {one.name}{f': {one.problem}' if one.problem else ''}")
    for one in bad:
        write(f"\n{one.name}: {_REMEDIES.get(one.name, _OTHER)}.")
    if bad:
        write("\nThis machine cannot grade safely, and will not grade.")
    else:
        write(f"\nThis machine can grade safely (as {'root' if os.geteuid() == 0 else 'an ordinary user'}).")
    return not bad
