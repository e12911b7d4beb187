"""Losses with their derivative, for networks trained by explicit gradients."""

from __future__ import annotations

from .arrays import QUIET, Array, check_array, check_finite, device_of, namespace

__all__ = ["cross_entropy"]


@QUIET
def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    r"""Return the mean cross-entropy of softmax(logits) and its derivative by the logits.

        L = −(1/N) Σ_n log p_n[label_n],   ∂L/∂logits = (p − onehot) / N

    Parameters
    ----------
    logits : Array, shape (N, C)
    labels : integer Array, shape (N,)
        Classes 0 … C−1.

    Returns
    -------
    loss : Array, shape ()
    d_logits : Array, shape (N, C)

    Raises
    ------
    ValueError, TypeError
        Wrong shapes, labels that are not integers, not among the classes or on another device.
    NonFiniteError
        Logits that are inf or NaN; the step is the row.
    """
    xp = check_array("logits", logits, [("N", None), ("C", None)])
    count, classes = logits.shape
    label_xp = namespace(labels, "labels")
    if label_xp is not xp or not xp.isdtype(labels.dtype, "integral"):
        raise TypeError(f"labels must be an integer array of the library of logits; got {labels.dtype}")
    if tuple(labels.shape) != (count,):
        raise ValueError(f"labels must have shape (N={count},); got {tuple(labels.shape)}")
    if device_of(labels) != device_of(logits):
        raise TypeError(f"labels are on device {device_of(labels)} but logits are on {device_of(logits)}")
    check_finite("logits", logits, "refuse")
    if bool(xp.any((labels < 0) | (labels >= classes))):
        raise ValueError(f"labels must lie in 0 … C−1 = {classes - 1}")
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    every_class = xp.arange(classes, dtype=labels.dtype, device=device_of(labels))
    onehot = labels[:, None] == every_class[None, :]
    chosen = xp.where(onehot, log_p, xp.zeros_like(log_p))  # not log_p · onehot: −inf · 0 is NaN
    loss = -xp.sum(chosen) / count
    return loss, (xp.exp(log_p) - xp.astype(onehot, logits.dtype)) / count
