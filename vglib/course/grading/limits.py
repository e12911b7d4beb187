"""How much a submission may use."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What a submission may use; more of it and it is stopped.

    Attributes
    ----------
    cell, call, total : float
        Seconds for one cell, for one exchange of calls, and for the whole submission.
    start : float
        Seconds until a sandbox must have answered; more means that the machine is not well.
    memory : int
        Bytes of memory of all processes together, with the files that they wrote, and what the kernel may
        hold for each process and each socket.
    processes : int
        Processes and threads at a time.
    file : int
        Bytes of one file; /tmp and /dev/shm hold as much each.
    """

    cell: float = 60.0
    call: float = 30.0
    total: float = 600.0
    start: float = 60.0
    memory: int = 2 * 2**30
    processes: int = 64
    file: int = 64 * 2**20

    def hard(self) -> dict[str, int]:
        """Return the limits that the kernel enforces on each process, by their names in `resource`."""
        return {
            # Address space is more than memory: below a gigabyte PyTorch does not load.
            "RLIMIT_AS": self.memory + 4 * 2**30,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_NOFILE": 256,
            "RLIMIT_CORE": 0,
        }
