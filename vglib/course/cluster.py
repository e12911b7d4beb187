"""Workers of other machines for `fan_out`: a Dask cluster that is there already."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any
from urllib.parse import urlsplit

from vglib.course.checkout import CannotRunError

__all__ = ["Dask"]

TIMEOUT = 5  # seconds, for the scheduler to answer


class Dask:
    """The workers of a Dask scheduler. They need this version of vglib, and a sandbox of their own.

    Submissions and marks travel to them, so the scheduler must be on this machine or be reached by TLS.

    Parameters
    ----------
    address : str
        Of the scheduler, for example ``tcp://127.0.0.1:8786`` or ``tls://grades.example.org:8786``.

    Raises
    ------
    CannotRunError
        No scheduler answers there, it has no workers, or what is sent to it could be read on the way.
    """

    def __init__(self, address: str) -> None:
        self.address = _safe(address)
        self._client: Any = None
        self.at_once = self._workers()

    def start(self) -> Executor:
        """Return an executor on the cluster."""
        return _Executor(self._connected())

    def stop(self, executor: Executor, hurry: bool) -> str:
        """Take back what has not begun; the workers are not ours and stay."""
        executor.shutdown(wait=not hurry, cancel_futures=True)
        if self._client is not None:
            self._client.close(timeout=TIMEOUT)
        self._client = None
        return "the scheduler gave it up" if hurry else ""

    def _connected(self) -> Any:
        from distributed import Client

        if self._client is None:
            try:
                self._client = Client(self.address, timeout=TIMEOUT, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise CannotRunError(f"no Dask scheduler answers at {self.address}: {error}") from None
        return self._client

    def _workers(self) -> int:
        client = self._connected()
        threads = sum(one["nthreads"] for one in client.scheduler_info(n_workers=-1)["workers"].values())
        if threads == 0:
            client.close()
            raise CannotRunError(f"the Dask scheduler at {self.address} has no workers")
        # A few more than can run, so that none waits for the next one to travel.
        return 2 * threads


class _Executor(Executor):
    """Dask's futures as those of the standard library, one each, with the errors that `fan_out` knows."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._running: dict[Any, Future[Any]] = {}

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        # Not pure: the same task may be run again, and must be.
        remote = self._client.submit(function, *args, pure=False, retries=0, **kwargs)
        self._running[remote] = future
        remote.add_done_callback(self._done)
        return future

    def _done(self, remote: Any) -> None:
        from distributed.scheduler import KilledWorker

        future = self._running.pop(remote, None)
        if future is None or future.done():
            return
        if remote.status == "finished":
            future.set_result(remote.result())
        elif remote.status == "cancelled":
            future.set_exception(BrokenExecutor("the scheduler went away"))
        else:
            error = remote.exception()
            future.set_exception(BrokenExecutor(str(error)) if isinstance(error, KilledWorker) else error)
        remote.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures and self._running:
            running, self._running = self._running, {}
            self._client.cancel(list(running), force=True)
            for future in running.values():
                if not future.done():
                    future.set_exception(BrokenExecutor("cancelled"))


def _safe(address: str) -> str:
    """Return an address that only this machine, or whoever has the certificate, can listen to."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
        raise CannotRunError(f"a scheduler's address looks like tcp://127.0.0.1:8786; got {address!r}")
    if parts.scheme == "tcp":
        try:
            found = {item[4][0] for item in socket.getaddrinfo(parts.hostname, parts.port)}
        except OSError as error:
            raise CannotRunError(f"there is no host {parts.hostname!r}: {error}") from None
        if not all(ipaddress.ip_address(one).is_loopback for one in found):
            raise CannotRunError(
                f"{address} is another machine: marks and submissions would travel unencrypted. "
                "Use a scheduler with TLS (tls://…), or one on this machine"
            )
    return address
