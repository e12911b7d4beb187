"""Train any `torch.nn.Module`, with gradient norms on record and an exact resume.

A step i of 0, …, steps−1:

    batch = batch_of(i);  loss = loss_fn(model, batch);  g = clip(∂loss/∂parameters);  optimizer step

Steps are gathered into windows of `every`. Whatever needs the host (progress, evaluation, the look for
numbers that are not finite, the checkpoint) happens at the end of a window, so that a GPU never waits in one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import choice, whole_number
from .history import History

if TYPE_CHECKING:
    import torch

__all__ = ["History", "fit", "pick_device"]


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Return a device: for 'auto' CUDA if there is one, else MPS, else the CPU.

    Raises
    ------
    ValueError
        No such device, or not on this machine.
    TypeError
        Neither a string nor a `torch.device`.
    """
    import torch

    if not isinstance(device, str | torch.device):
        raise TypeError(f"device must be a string or a torch.device; got {device!r}")
    if device == "auto":
        found = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else found)
    try:
        chosen = torch.device(device)
        if chosen.type == "meta":  # which would take the model's weights away
            raise RuntimeError("it holds no numbers")
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device must be 'auto' or one that PyTorch has here; got {device!r}: {error}"
        ) from None
    return chosen


def fit(
    model: torch.nn.Module,
    batch_of: Callable[[int], Any],
    loss_fn: Callable[[torch.nn.Module, Any], torch.Tensor],
    *,
    steps: int,
    optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
    clip: Callable[[Iterable[Any]], Any] | None = None,
    evaluate: Callable[[torch.nn.Module], Mapping[str, float]] | None = None,
    stop: Callable[[Mapping[str, Any]], bool] | None = None,
    every: int = 100,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
    nonfinite: str = "raise",
) -> History:
    """Train a model in place and return what happened.

    Parameters
    ----------
    model : torch.nn.Module
        Moved to the device. If it is in evaluation mode it is put into training mode for the run; if it is
        not, parts that are (a frozen normalisation, say) stay so.
    batch_of : callable (step) -> batch
        Tensors or NumPy arrays, or a tuple, list, mapping or dataclass instance that holds them; moved to the
        device, dtypes unchanged. It must depend on the step alone: that is what makes a resume exact.
    loss_fn : callable (model, batch) -> scalar tensor
    steps : int
        Number of updates.
    optimizer : callable (parameters) -> torch.optim.Optimizer
        For instance ``functools.partial(torch.optim.Adam, lr=1e-3)``.
    clip : callable (parameters), optional
        Changes `.grad` in place, before each update; what it returns is not read. For a checkpoint, one that
        keeps a state needs `state_dict` and `load_state_dict`.
    evaluate : callable (model) -> dict of floats, optional
        Called at the end of each window, and of the run, in evaluation mode and without gradients. Random
        numbers that it draws are the same each time, and training does not notice.
    stop : callable (evaluation) -> bool, optional
        Called after it, with a dict: `step` (updates done), `loss` (mean over the window) and what `evaluate`
        gave. True ends the run. A state of its own is kept as that of `clip`.
    every : int
        Steps in a window.
    seed : int
        Of all that torch draws during training, such as dropout. torch's global random state is the same
        after the run as before.
    device : str or torch.device
        As in `pick_device`. 'auto' leaves a float64 model on the CPU where the alternative is MPS.
    checkpoint : path, optional
        A file to go on from if it is there, written at the end of windows (not at each, where writing would
        take more than a twentieth of the time) and, on Ctrl-C, after the step at hand. It is replaced in one
        move; a run that was killed at any moment and called again gives what an undisturbed one gives, bit
        for bit. More `steps` may be asked for than before; whatever else differs is refused. The weights are
        in ``torch.load(path, weights_only=True)["model"]``.
    progress : bool
        Whether to show a bar, on a terminal only.
    nonfinite : {'raise', 'stop', 'continue'}
        What to do at the end of a window in which a loss, or a gradient as it came to the optimiser, was not
        finite: raise, return, go on. A gradient that `clip` has made finite is no such case; it is logged,
        and recorded in `clipped` and `grad_norm`.

    Returns
    -------
    History

    Raises
    ------
    NonFiniteError
        With the step and what was not finite. Weights are those at the end of the window; the checkpoint is
        the one before it.
    ValueError, TypeError
        Naming the parameter, what came and what was expected. A checkpoint of other settings or of another
        model, or one that is damaged, is a ValueError, and the file stays as it is.

    Notes
    -----
    Norms are summed in float64 (float32 on MPS), so that a float32 gradient that is finite has a finite norm;
    the squares of float64 numbers above 1e154 overflow. On CUDA, cuDNN is told to use algorithms that repeat
    themselves; ``torch.use_deterministic_algorithms`` does the same for other operations. Dropout between
    the layers of one cuDNN module (``nn.LSTM(…, dropout=…)``) keeps a random state that PyTorch does not hand
    out: use ``nn.Dropout`` where a run has to repeat itself.

    Examples
    --------
    >>> import functools, torch
    >>> from vglib.base.training import fit
    >>> model = torch.nn.Linear(2, 1)
    >>> history = fit(
    ...     model,
    ...     batch_of=lambda step: torch.randn(8, 2, generator=torch.Generator().manual_seed(step)),
    ...     loss_fn=lambda model, x: ((model(x) - x.sum(dim=1, keepdim=True)) ** 2).mean(),
    ...     steps=200,
    ...     optimizer=functools.partial(torch.optim.SGD, lr=0.1),
    ... )
    >>> len(history.loss), bool(history.loss[-1] < 1e-3)
    (200, True)
    """
    from .loop import Run

    for name, value in (("batch_of", batch_of), ("loss_fn", loss_fn), ("optimizer", optimizer)):
        _check_callable(name, value)
    for name, value in (("clip", clip), ("evaluate", evaluate), ("stop", stop)):
        _check_callable(name, value, optional=True)
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False; got {progress!r}")
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path or None; got {checkpoint!r}")
    choice("nonfinite", nonfinite, ("raise", "stop", "continue"))
    return Run(
        model=model,
        batch_of=batch_of,
        loss_fn=loss_fn,
        steps=whole_number("steps", steps, 1),
        optimizer=optimizer,
        clip=clip,
        evaluate=evaluate,
        stop=stop,
        every=whole_number("every", every, 1),
        seed=whole_number("seed", seed, 0),
        device=device,
        checkpoint=checkpoint,
        progress=progress,
        nonfinite=nonfinite,
    ).run()


def _check_callable(name: str, value: Any, optional: bool = False) -> None:
    if callable(value) or (optional and value is None):
        return
    # An optimiser, too, is made here: it has to see the parameters on their device.
    hint = " (hand over what makes one, e.g. functools.partial(torch.optim.Adam, lr=1e-3))"
    raise TypeError(
        f"{name} must be callable{' or None' if optional else ''}; "
        f"got {type(value).__name__}{hint if name == 'optimizer' else ''}"
    )
