"""Losses with their derivative, for networks trained by explicit gradients."""

from __future__ import annotations

from .arrays import Array, check_array, namespace

__all__ = ["cross_entropy"]


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
        Wrong shapes, labels that are not integers or not among the classes.
    """
    xp = check_array("logits", logits, [("N", None), ("C", None)])
    count, classes = logits.shape
    label_xp = namespace(labels, "labels")
    if label_xp is not xp or not xp.isdtype(labels.dtype, "integral"):
        raise TypeError(f"labels must be an integer array of the library of logits; got {labels.dtype}")
    if tuple(labels.shape) != (count,):
        raise ValueError(f"labels must have shape (N={count},); got {tuple(labels.shape)}")
    if bool(xp.any((labels < 0) | (labels >= classes))):
        raise ValueError(f"labels must lie in 0 … C−1 = {classes - 1}")
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    onehot = xp.astype(labels[:, None] == xp.arange(classes, dtype=labels.dtype)[None, :], logits.dtype)
    return -xp.sum(log_p * onehot) / count, (xp.exp(log_p) - onehot) / count
