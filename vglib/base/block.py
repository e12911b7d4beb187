r"""One block of a deep net: a branch, a way around it, and what comes after the two are added.

    z_0 = h,  z_{i+1} = part_i(z_i),  F(h) = z_n        the branch
    u  = s·h + β F(h)                                   s = 1 with a shortcut, 0 without
    h′ = ψ(u)                                           ψ = φ or the identity
    J  = ∂h′/∂h = ψ′(u) (s I + β ∂F/∂h)

| kind | s | branch of one layer | of two | ψ |
|---|---|---|---|---|
| plain | 0 | weights, norm | weights, norm, φ, weights, norm | φ |
| residual | 1 | weights, norm | weights, norm, φ, weights, norm | φ |
| activated | 1 | weights, norm, φ | weights, norm, φ, weights, norm, φ | identity |
| pre-activation | 1 | norm, φ, weights | norm, φ, weights, norm, φ, weights | identity |

Index legend: B samples, S state size; h what goes into the block, h′ what comes out; i part of the branch.

Sources: He, Zhang, Ren and Sun (2016a) for the residual block; (2016b) for 'activated' (figure 4c) and
'pre-activation' (4e).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from .arrays import Array, device_of
from .chain import Arrays
from .layers import Part, Phi

__all__ = ["KINDS", "Block", "order"]

KINDS = ("plain", "residual", "activated", "pre-activation")


def order(kind: str, layers: int) -> tuple[str, ...]:
    """Return the parts of a branch by name, 'weights1', 'norm1', 'phi' …, first to last."""
    branch: list[str] = []
    for number in range(1, layers + 1):
        weights, norm = f"weights{number}", f"norm{number}"
        branch += [norm, "phi", weights] if kind == "pre-activation" else [weights, norm, "phi"]
    # The last activation of these kinds is the one after the sum.
    return tuple(branch[:-1] if kind in ("plain", "residual") else branch)


class Block:
    """The mathematics of one block; or, for `factors` and `gradients`, of all blocks of a net at once.

    Parameters
    ----------
    xp : module
    branch : sequence of (number, Part)
        First to last; the number is the one its parameters have in their names.
    scale : Array, shape ()
        β.
    shortcut : bool
    after : Phi or None
        ψ.
    """

    def __init__(
        self,
        xp: ModuleType,
        branch: Sequence[tuple[str, Part]],
        scale: Array,
        shortcut: bool,
        after: Phi | None,
    ) -> None:
        self.xp, self.branch, self.scale = xp, tuple(branch), scale
        self.shortcut, self.after = shortcut, after

    def step(self, state: Array) -> tuple[Array, Arrays]:
        """Return h′ (B, S), and what went into each part, F(h) and u."""
        z, kept = state, []
        for _, part in self.branch:
            kept.append(z)
            z = part.forward(z)
        u = self.scale * z
        if self.shortcut:
            u = state + u
        if self.after is None:
            return u, (*kept, z)
        return self.after.forward(u), (*kept, z, u)

    def factors(self, saved: Arrays) -> Arrays:
        """Return the local derivatives of all parts, first to last, and ψ′(u)."""
        found: list[Array] = []
        for (_, part), z in zip(self.branch, saved, strict=False):
            found += part.factors(z)
        if self.after is not None:
            found += self.after.factors(saved[-1])
        return tuple(found)

    def backward_step(self, factors: Arrays, d_state: Array) -> Arrays:
        """Return ∂L/∂h, and the gradients by u and by what each part with parameters gave, from ∂L/∂h′."""
        rest = list(factors)
        d_sum = d_state if self.after is None else self.after.backward((rest.pop(),), d_state)
        delta, deltas = self.scale * d_sum, []
        for _, part in reversed(self.branch):
            if part.names:
                deltas.append(delta)
            own = rest[len(rest) - part.count :]
            del rest[len(rest) - part.count :]
            delta = part.backward(own, delta)
        return (d_sum + delta if self.shortcut else delta), d_sum, *reversed(deltas)

    def jacobian(self, factors: Arrays) -> Array:
        """Return J, (B, S, S), with rows for the output: its columns are what small changes of h become."""
        like = factors[-1]
        rest, size = list(factors), like.shape[-1]
        change = self.xp.eye(size, dtype=like.dtype, device=device_of(like))[:, None, :]
        through = change
        for _, part in self.branch:
            own, rest = rest[: part.count], rest[part.count :]
            through = part.tangent(own, through)
        through = self.scale * through
        if self.shortcut:
            through = change + through
        if self.after is not None:
            through = self.after.tangent(rest, through)
        return self.xp.permute_dims(through, (1, 2, 0))

    def gradients(self, saved: Arrays, deltas: Sequence[Array]) -> dict[str, Array]:
        """Return ∂L/∂(each parameter) of all blocks, (L, …), from what all kept and `backward_step` gave."""
        d_sum, *rest = deltas
        found = {"scale": self.xp.sum(d_sum * saved[len(self.branch)], axis=(1, 2))}
        for (number, part), z in zip(self.branch, saved, strict=False):
            if part.names:
                for name, gradient in zip(part.names, part.gradients(z, rest.pop(0)), strict=True):
                    found[name + number] = gradient
        return found
