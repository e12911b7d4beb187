"""Calls of a learner's functions, as messages: the same lines run in a notebook and behind the grader's wall.

A check gets a `Call`. It packs name and inputs, hands the bytes to whatever runs the function (`answer`, here
or in a sandbox), and unpacks what comes back. So a function never shares an object with its check: it gets
copies, and gives back plain values.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vglib.course.wire import WireError, pack, unpack

__all__ = ["Call", "CheckFailed", "answer", "local"]


class CheckFailed(AssertionError):  # noqa: N818 - it names what happened, as AssertionError does
    """An answer that is not right; the text says what to look at."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of the frames of the check, which would teach nothing.
        return [f"Not yet. {self}"]


class Call:
    """Calls functions by name, wherever they live.

    Parameters
    ----------
    send
        Takes a request as bytes and returns the reply as bytes.
    """

    def __init__(self, send: Callable[[bytes], bytes]) -> None:
        self._send = send

    def __call__(self, name: str, *inputs: object) -> Any:
        """Return what the function `name` gives for copies of the inputs.

        Raises
        ------
        CheckFailed
            There is no such function, it raised, or it gave something back that is no plain value.
        """
        return self.many(name, [inputs])[0]

    def many(self, name: str, calls: Sequence[tuple[object, ...]]) -> list[Any]:
        """Return what the function gives for each of several tuples of inputs, in one exchange."""
        replies = self._ask({"name": name, "calls": [tuple(inputs) for inputs in calls]})
        if type(replies) is not list or len(replies) != len(calls):
            raise CheckFailed(f"`{name}` did not answer in the agreed form.")
        return replies

    def proof(self, name: str) -> Any:
        """Return the proof that the function `name` gives, as plain trees for the checker of proofs."""
        return self._ask({"name": name, "proof": True})

    def _ask(self, request: dict[str, object]) -> Any:
        try:
            reply = unpack(self._send(pack(request)))
        except WireError as error:
            raise CheckFailed(f"`{request['name']}` gave back what cannot be read: {error}.") from None
        if type(reply) is dict and reply.keys() == {"error"} and type(reply["error"]) is str:
            raise CheckFailed(reply["error"][:2000])
        if type(reply) is not dict or reply.keys() != {"value"}:
            raise CheckFailed(f"`{request['name']}` did not answer in the agreed form.")
        return reply["value"]


def local(names: Mapping[str, Any]) -> Call:
    """Return calls of the functions in a namespace of this process."""
    return Call(partial(answer, names))


def answer(names: Mapping[str, Any], request: bytes) -> bytes:
    """Carry out a request of `Call` on a namespace and return the reply.

    Parameters
    ----------
    names
        Where the functions are.
    request
        As `Call` sends it.
    """
    asked = unpack(request)
    name = asked["name"]
    try:
        if "proof" in asked:
            return pack({"value": _proof(_run(names, name, ()))})
        return pack({"value": [_checked(_run(names, name, inputs), name) for inputs in asked["calls"]]})
    except _Told as told:
        return pack({"error": str(told)})
    except WireError as error:
        return pack({"error": f"`{name}` gives back {error}."})


class _Told(Exception):  # noqa: N818 - an answer, not an error of the program
    pass


def _run(names: Mapping[str, Any], name: str, inputs: tuple[object, ...]) -> Any:
    function = names.get(name)
    if function is None:
        raise _Told(f"`{name}` does not exist: run the cell that defines it.")
    if not callable(function):
        raise _Told(f"`{name}` is no function any more: a cell has given the name to something else.")
    try:
        result = function(*inputs)
    except NotImplementedError:
        raise _Told(
            f"`{name}` is still empty: put your code where it says `raise NotImplementedError`."
        ) from None
    except (Exception, SystemExit) as error:
        raise _Told(f"`{name}` raises {_short(error)}{_place(error)}") from None
    if result is None:
        raise _Told(f"`{name}` gives None back: does it end with a `return`?")
    return result


def _checked(result: Any, name: str) -> Any:
    """Return the result packed and unpacked, so that whatever is wrong with it is known before it is sent."""
    try:
        return unpack(pack(result))
    except WireError:
        raise
    except Exception as error:
        raise _Told(f"what `{name}` gives back cannot be read: {_short(error)}") from None


def _proof(steps: Any) -> Any:
    from vglib.course.proofs.language import ProofError
    from vglib.course.proofs.reading import read

    try:
        return read(steps)
    except ProofError as error:
        raise _Told(str(error)) from None


def _short(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """Say in which line of the learner's own code it was raised, as far as that is known."""
    # The first frame is the call above.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "ipykernel" in frame.filename or frame.filename.startswith("<")]
    if not own:
        return "."
    line = (own[-1].line or linecache.getline(own[-1].filename, own[-1].lineno or 0)).strip()
    return f", in line {own[-1].lineno} of its cell: {line[:200]}" if line else "."
