"""Workers of other machines for `fan_out`: a Dask cluster that is there already."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from vglib.course.checkout import CannotRunError
from vglib.version import __version__

__all__ = ["Dask"]

TIMEOUT = 5  # seconds, for the scheduler to answer
# So many seconds may there be no worker at all: one that was killed is started again by its nanny.
NOBODY = 30
_LOOK = 1.0
_CERTIFICATES = "see DASK_DISTRIBUTED__COMM__TLS__CA_FILE and its like in Dask's documentation"


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
        No scheduler answers there, it has no workers, they have another version of vglib, or what is sent to
        them could be read on the way.
    """

    def __init__(self, address: str) -> None:
        self.address = _safe(address)
        self._client: Any = None
        self._kept = ""
        self.at_once = self._workers()
        self._kept = "stopped, and all marks so far are kept: "

    def start(self) -> Executor:
        """Return an executor on the cluster.

        Raises
        ------
        CannotRunError
            There is no scheduler any more, or it has no workers.
        """
        if self._client is None:
            self._workers()
        return _Executor(self._client)

    def stop(self, executor: Executor, hurry: bool) -> str:
        """Take back what has not begun; the workers are not ours and stay."""
        executor.shutdown(wait=not hurry, cancel_futures=hurry)
        self._close()
        return "workers died, or the scheduler did" if hurry else ""

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close(timeout=TIMEOUT)

    def _workers(self) -> int:
        """Connect, see whether the workers are of use, and return how many tasks to hand over at a time."""
        from distributed import Client

        # What goes wrong is told in words; Dask tells it several times, and with the way it came.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = Client(self.address, timeout=TIMEOUT, set_as_default=False)
        except Exception as error:
            # A missing certificate is a TypeError, a scheduler of another age an ImportError, and so on.
            hint = f" ({_CERTIFICATES})" if self.address.startswith("tls:") else ""
            raise CannotRunError(
                f"{self._kept}no Dask scheduler answers at {self.address}: {error}{hint}"
            ) from None
        problem = ""
        try:
            until = time.monotonic() + TIMEOUT
            while not (threads := _threads(self._client)) and time.monotonic() < until:
                time.sleep(0.2)
            if not threads:
                problem = "has no workers"
            else:
                versions = self._client.run(_version, on_error="return")
                for worker, found in sorted(versions.items(), key=str):
                    if found != __version__:
                        problem = f"has a worker, {worker}, with vglib {found} instead of {__version__}"
        except Exception as error:
            problem = f"does not say who works for it: {error or type(error).__name__}"
        if problem:
            self._close()
            raise CannotRunError(f"{self._kept}the Dask scheduler at {self.address} {problem}")
        # A few more than can run, so that none waits for the next one to travel.
        return 2 * sum(threads.values())


def _threads(client: Any) -> dict[str, int]:
    """Return the number of threads by worker. A scheduler that does not answer is no reason to wait."""
    return dict(client.sync(client.scheduler.ncores, callback_timeout=TIMEOUT))


def _version() -> str:
    from vglib.version import __version__

    return __version__


class _Executor(Executor):
    """Dask's futures as those of the standard library, one each, with the errors that `fan_out` knows.

    Dask runs the tasks of a worker that died on another one. What it does not do is to give up: when all
    workers are gone, or the scheduler is, tasks wait for ever. So somebody looks whether they are there.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._running: dict[str, tuple[Any, Future[Any]]] = {}
        self._broken = ""
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._broken:
            raise BrokenExecutor(self._broken)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            # Not pure: the same task may be run again, and must be.
            remote = self._client.submit(function, *args, pure=False, retries=0, **kwargs)
        except Exception as error:
            if self._client.status == "running":
                # The task itself: it cannot be sent.
                future.set_exception(error)
                return future
            raise BrokenExecutor(f"the scheduler is gone: {error}") from None
        self._running[remote.key] = remote, future
        remote.add_done_callback(self._done)
        return future

    def _done(self, remote: Any) -> None:
        from distributed import KilledWorker

        _, future = self._running.pop(remote.key, (None, None))
        if future is None:
            return
        try:
            error = None
            if remote.status == "finished":
                # Its worker may have died in the meantime; then Dask computes it once more.
                value = remote.result()
            elif remote.status == "error":
                error = remote.exception()
            else:
                error = BrokenExecutor("the scheduler went away")
        except Exception as lost:
            error = BrokenExecutor(f"a result was lost: {lost}")
        if isinstance(error, KilledWorker):
            error = BrokenExecutor(str(error))
        with suppress(InvalidStateError):
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        with suppress(Exception):
            remote.release()

    def _watch(self) -> None:
        """Break when nobody is there to work."""
        seen = time.monotonic()
        while not self._closed.wait(_LOOK):
            if self._client.status != "running":
                # It tries to find it again, which `start` does as well, and says so.
                self._break("the scheduler is gone")
                return
            try:
                threads = _threads(self._client)
            except Exception as error:
                self._break(f"the scheduler does not answer: {error}")
                return
            if threads:
                seen = time.monotonic()
            elif time.monotonic() - seen > NOBODY:
                self._break("all workers are gone")
                return

    def _break(self, why: str) -> None:
        self._broken = why
        while self._running:
            with suppress(KeyError, InvalidStateError):
                _, (_, future) = self._running.popitem()
                future.set_exception(BrokenExecutor(why))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._closed.set()
        if cancel_futures and self._running:
            remotes = [remote for remote, _ in list(self._running.values())]
            self._break("cancelled")
            if self._client.status == "running":
                with suppress(Exception):
                    self._client.cancel(remotes, force=True)


def _safe(address: str) -> str:
    """Return an address that only this machine, or whoever has the certificate, can listen to."""
    parts = urlsplit(address)
    try:
        whole = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:  # a port that is no port
        whole = False
    if not whole:
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
