"""bubblewrap's command line: what is on the other side of the wall, and what is not.

Inside there are namespaces of its own (user, process, network, message, host name), a root of read-only
folders with Python and its packages, a small /tmp, no capability, no environment, and a filter of system
calls. Nothing of the course is there but the library: no checks, no solutions, no other submission.

An ordinary user can make such namespaces where the system allows it. Root makes them as an ordinary user as
well: a limit on processes does not bind root. So root starts bubblewrap twice. The outer one only shows the
folders, since an ordinary user could not look into, say, /root; then the rights are dropped for good, and the
inner one, which is the wall, runs as it would for anybody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import site
import sys
from pathlib import Path

import vglib
from vglib.course.grading.limits import Limits

__all__ = ["SETTINGS", "WRITABLE", "SandboxError", "exposed", "search_path", "wall"]

# What is left of vglib.course inside.
_INSIDE = ("__init__.py", "calling.py", "given", "guest.py", "proofs", "wire.py")
# Links and folders of the system; what a distribution lacks is left out.
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_FIRST_UID, _UIDS = 61_000, 4_000
WRITABLE = ("/tmp", "/dev/shm")  # noqa: S108 - inside
SETTINGS = {
    "HOME": "/tmp/home",  # noqa: S108 - inside
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class SandboxError(Exception):
    """A machine that cannot run a sandbox; the message says why and what to do."""


def wall(limits: Limits, rules: int) -> list[str]:
    """Return the command line that puts what follows it into a sandbox.

    Parameters
    ----------
    limits
        Sizes of its file systems.
    rules
        Descriptor from which the filter of system calls can be read.

    Raises
    ------
    SandboxError
        A program is missing, or nothing could be shown without showing too much.
    """
    home = Path.home().resolve()
    for folder in _folders():
        if folder == home or folder in home.parents:
            raise SandboxError(
                f"this Python lies in {folder}, and whoever may see that sees {home} as well: "
                "use one that is installed in a folder of its own"
            )
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise SandboxError("there is no bubblewrap (bwrap) on this machine: apt-get install bubblewrap")
    # --unshare-user fails where there are no user namespaces; --unshare-all would go on without.
    inner = ["--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    inner += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--cap-drop", "ALL"]
    inner += ["--die-with-parent", "--new-session", "--seccomp", str(rules), "--clearenv"]
    for name, value in SETTINGS.items():
        inner += ["--setenv", name, value]
    files = _files()
    size = str(limits.file)
    # The root is a file system in memory, of any size unless nobody can write there. There are few devices:
    # /dev/zero makes memory that counts for no process, and of terminals a machine has so many.
    fresh = ["--proc", "/proc"]
    for name in ("null", "random", "urandom"):
        fresh += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        fresh += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
    # Before the folders, which may lie in /tmp themselves and would be hidden by it.
    writable: list[str] = []
    for name in WRITABLE:
        writable += ["--size", size, "--tmpfs", name]
    fresh += ["--remount-ro", "/", "--chdir", "/tmp", "--"]  # noqa: S108
    if os.geteuid() != 0:
        return [bubblewrap, *inner, *writable, *files, *fresh]
    drop = shutil.which("setpriv")
    if drop is None:
        raise SandboxError(
            "root drops its rights with setpriv, which is not there: apt-get install util-linux"
        )
    who = str(_unused_uid())
    # The kernel lets nobody mount a /proc who does not see a whole one.
    # And when bubblewrap is killed, root's rights have gone already: it could not take an ordinary user's
    # process with it. The first process of a namespace takes all others.
    outer = [bubblewrap, "--die-with-parent", "--unshare-pid", *files, "--dir", "/tmp"]  # noqa: S108
    outer += ["--dev-bind", "/proc", "/proc", "--dev", "/dev", "--"]
    outer += [drop, "--reuid", who, "--regid", who, "--clear-groups", "--no-new-privs"]
    return [*outer, bubblewrap, *inner, *writable, *_shown_again(), *fresh]


def _shown_again() -> list[str]:
    """Return the options that show in the inner sandbox what the outer one holds."""
    options: list[str] = []
    temporary = Path("/tmp")  # noqa: S108 - as a whole it is the learner's own
    paths = {path if temporary in path.parents else Path(*path.parts[:2]) for path in _folders()}
    for path in sorted(paths | {Path(*Path(name).parts[:2]) for name in _SYSTEM}):
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            options += ["--ro-bind", str(path), str(path)]
    return options


def _files() -> list[str]:
    """Return the options that show Python, its packages and the system's libraries, and nothing else."""
    options: list[str] = []
    made: set[Path] = set()

    def parents(path: Path) -> None:
        # Folders on the way are made by bubblewrap for its user alone; here somebody else has to pass.
        for parent in reversed(path.parents):
            if parent not in made and parent != Path("/"):
                made.add(parent)
                options.extend(["--dir", str(parent)])

    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), name]
        elif path.exists():
            parents(path)
            options += ["--ro-bind", name, name]
        made.add(path)
    course = Path(vglib.__file__).resolve().parent / "course"
    for path in _folders():
        parents(path)
        made.add(path)
        options += ["--ro-bind", str(path), str(path)]
    options += ["--size", "1048576", "--tmpfs", str(course)]
    for name in _INSIDE:
        options += ["--ro-bind", str(course / name), str(course / name)]
    options += ["--dir", str(course / "checks"), "--ro-bind", str(course / "grading" / "absent.py")]
    return [*options, str(course / "checks" / "__init__.py"), "--remount-ro", str(course)]


def _folders() -> list[Path]:
    """Return the folders that Python needs, none within another."""
    library = Path(vglib.__file__).resolve().parent
    wanted = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent, library}
    # A checkout's own folder is on the path and not shown: it holds solutions.
    wanted |= {Path(item) for item in search_path() if item != str(library.parent) or "site-packages" in item}
    system = [Path(name).resolve() for name in _SYSTEM]
    found = []
    for path in sorted({path for path in wanted if path.exists()}, key=lambda one: len(one.parts)):
        inside = [*found, *system]
        if not any(path == other or other in path.parents for other in inside):
            found.append(path)
    return found


def search_path() -> list[str]:
    """Return where the process inside looks for modules: the packages, without anybody's working folder."""
    standard = Path(os.__file__).parent
    packages = [
        *site.getsitepackages(),
        site.getusersitepackages(),
        str(standard),
        str(standard / "lib-dynload"),
    ]
    shown = [item for item in sys.path if item in packages or item.endswith(".zip")]
    library = str(Path(vglib.__file__).resolve().parents[1])
    return shown if library in shown else [*shown, library]


def exposed(path: Path) -> Path | None:
    """Return the folder, visible inside a sandbox, that holds a path; None if none does."""
    real = path.resolve()
    for folder in [*_folders(), *(Path(name).resolve() for name in _SYSTEM)]:
        if folder == real or folder in real.parents:
            return folder
    return None


def _unused_uid() -> int:
    start = os.getpid() % _UIDS
    for offset in range(_UIDS):
        uid = _FIRST_UID + (start + offset) % _UIDS
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid
    raise SandboxError(f"every user number from {_FIRST_UID} to {_FIRST_UID + _UIDS} is taken")
