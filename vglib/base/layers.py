r"""The parts of a residual block: weights, convolutions, norms, activations, each with its derivatives.

    weights         a = z Wᵀ + b
    convolution     a[c, p] = Σ_{c′, k} W[c, c′, k] z[c′, p + k] + b[c]        3 × 3, zeros around the image
    norm            a = g ⊙ ẑ + f,   ẑ = (z − mean) · r,   r = 1/√(variance + ε)
    activation      a = φ(z)

A part maps states (B, S) to states. Its derivative is written down twice, both times linear in what travels:
`backward` takes rows, gradients of what comes out to gradients of what went in; `tangent` takes columns,
small changes of what goes in to changes of what comes out. Any number may travel side by side, (n, B, S).

Index legend: B samples, S = C·P state size, C channels (in a dense net units, P = 1), P = H·W positions, k
offset within a kernel; z what goes into a part, g gain, f shift of a norm, ε = 10⁻⁵ as in PyTorch.

Sources: Ioffe and Szegedy (2015) for batch, Ba, Kiros and Hinton (2016) for layer normalisation.
"""

from __future__ import annotations

from types import ModuleType

from .activations import Activation
from .arrays import Array, device_of, widened
from .chain import Arrays

__all__ = ["EPSILON", "Convolution", "Linear", "Norm", "Part", "Phi", "statistics"]

EPSILON = 1e-5


class Part:
    """One part. `names` are its parameters; `factors` gives `count` arrays, whose first axis are samples."""

    names: tuple[str, ...] = ()
    count = 0

    def factors(self, z: Array) -> Arrays:
        """Return what the derivatives need beside parameters, of one block or, (L, B, S), of all."""
        return ()

    def gradients(self, z: Array, delta: Array) -> Arrays:
        """Return ∂L/∂(each parameter) of all blocks, (L, …), from z and ∂L/∂a, both (L, B, S)."""
        return ()


class Linear(Part):
    """A = z Wᵀ + b."""

    names = ("weight", "bias")

    def __init__(self, xp: ModuleType, weight: Array, bias: Array) -> None:
        self.xp, self.weight, self.bias = xp, weight, bias

    def forward(self, z: Array) -> Array:
        """Return a."""
        return self.xp.matmul(z, self.weight.T) + self.bias

    def backward(self, factors: Arrays, delta: Array) -> Array:
        """Return δ W."""
        return self._times(delta, self.weight)

    def tangent(self, factors: Arrays, change: Array) -> Array:
        """Return ż Wᵀ."""
        return self._times(change, self.weight.T)

    def gradients(self, z: Array, delta: Array) -> Arrays:
        """Return δᵀ z, and the sum of δ."""
        return self.xp.matmul(self.xp.matrix_transpose(delta), z), self.xp.sum(delta, axis=1)

    def _times(self, vectors: Array, matrix: Array) -> Array:
        # One flat product: a stack of small ones is several times slower.
        flat = self.xp.matmul(self.xp.reshape(vectors, (-1, vectors.shape[-1])), matrix)
        return self.xp.reshape(flat, vectors.shape)


class Convolution(Part):
    """A 3 × 3 convolution (as PyTorch, a correlation) of images that keep their size."""

    names = ("weight", "bias")

    def __init__(self, xp: ModuleType, weight: Array, bias: Array, image: tuple[int, int]) -> None:
        self.xp, self.weight, self.bias, self.image = xp, weight, bias, image

    def forward(self, z: Array) -> Array:
        """Return a."""
        channels, positions = self.bias.shape[0], self.image[0] * self.image[1]
        each = self.xp.broadcast_to(self.bias[:, None], (channels, positions))
        return self._correlate(z, self.weight) + self.xp.reshape(each, (-1,))

    def backward(self, factors: Arrays, delta: Array) -> Array:
        """Return the correlation with the kernels turned by 180°, inputs and outputs exchanged."""
        turned = self.xp.flip(self.xp.permute_dims(self.weight, (1, 0, 2, 3)), axis=(2, 3))
        return self._correlate(delta, turned)

    def tangent(self, factors: Arrays, change: Array) -> Array:
        """Return the same convolution without its bias."""
        return self._correlate(change, self.weight)

    def gradients(self, z: Array, delta: Array) -> Arrays:
        """Return for each offset what δ and the shifted z have in common, and the sum of δ."""
        xp, shared = self.xp, []
        delta = xp.reshape(delta, (*delta.shape[:2], self.bias.shape[-1], -1))
        for l in range(delta.shape[0]):  # all blocks' patches at once would be nine times what was saved
            patches = xp.matrix_transpose(self._patches(z[l, ...]))
            shared.append(xp.sum(xp.matmul(delta[l, ...], patches), axis=0))
        return xp.reshape(xp.stack(shared), self.weight.shape), xp.sum(delta, axis=(1, 3))

    def _correlate(self, z: Array, weight: Array) -> Array:
        matrix = self.xp.reshape(weight, (weight.shape[0], -1))
        return self.xp.reshape(self.xp.matmul(matrix, self._patches(z)), z.shape)

    def _patches(self, z: Array) -> Array:
        """Return under every position the 3 × 3 patch around it, all channels: (…, S) → (N, C·9, P)."""
        xp, (height, width) = self.xp, self.image
        images = xp.reshape(z, (-1, self.bias.shape[-1], height, width))
        for axis in (2, 3):
            edge = [1 if i == axis else n for i, n in enumerate(images.shape)]
            zeros = xp.zeros(tuple(edge), dtype=z.dtype, device=device_of(z))
            images = xp.concat([zeros, images, zeros], axis=axis)
        shifted = [images[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return xp.reshape(xp.stack(shifted, axis=2), (images.shape[0], -1, height * width))


class Norm(Part):
    """Batch or layer normalisation, each channel with a gain and a shift.

    `kind` 'batch' takes mean and variance of each channel over samples and positions, 'layer' those of each
    sample over channels and positions. With `fixed` = (mean, variance) of each channel they are constants.
    """

    names = ("gain", "shift")
    count = 2

    def __init__(
        self, xp: ModuleType, gain: Array, shift: Array, kind: str, fixed: tuple[Array, Array] | None
    ) -> None:
        self.xp, self.gain, self.shift, self.kind, self.fixed = xp, gain, shift, kind, fixed

    def forward(self, z: Array) -> Array:
        """Return a."""
        normal, _ = self.factors(z)
        return self._flat(self.gain[:, None] * self.by_channel(normal) + self.shift[:, None])

    def factors(self, z: Array) -> Arrays:
        """Return ẑ and r."""
        xp = self.xp
        parts = widened(xp, self.by_channel(z))  # in half precision the square of 256 is infinite
        if self.fixed is None:
            mean, variance = statistics(xp, parts, self.kind)
        else:
            mean, variance = (widened(xp, array[..., None, :, None]) for array in self.fixed)
        variance = variance + EPSILON
        r = xp.sqrt(variance) / variance  # 1/√, but NaN, which is reported, and not 0 where it overflowed
        normal = self._flat((parts - mean) * r)
        return xp.astype(normal, z.dtype, copy=False), xp.astype(r, z.dtype, copy=False)

    def backward(self, factors: Arrays, delta: Array) -> Array:
        """Return r(v − mean v − ẑ · mean(v ẑ)) with v = g ⊙ δ, means over what shares the statistics."""
        return self._flat(self._core(factors, self.gain[:, None] * self.by_channel(delta)))

    def tangent(self, factors: Arrays, change: Array) -> Array:
        """Return g ⊙ the same of ż: but for the gain the derivative is symmetric."""
        return self._flat(self.gain[:, None] * self._core(factors, self.by_channel(change)))

    def gradients(self, z: Array, delta: Array) -> Arrays:
        """Return the sums of δ ⊙ ẑ and of δ over samples and positions."""
        normal, delta = self.by_channel(self.factors(z)[0]), self.by_channel(delta)
        return self.xp.sum(delta * normal, axis=(1, 3)), self.xp.sum(delta, axis=(1, 3))

    def _core(self, factors: Arrays, v: Array) -> Array:
        normal, r = self.by_channel(factors[0]), factors[1]
        if self.fixed is not None:
            return r * v
        both = {"axis": _axes(self.kind), "keepdims": True}
        return r * (v - self.xp.mean(v, **both) - normal * self.xp.mean(v * normal, **both))

    def by_channel(self, z: Array) -> Array:
        """Return (…, B, S) as (…, B, C, P)."""
        return self.xp.reshape(z, (*z.shape[:-1], self.gain.shape[-1], -1))

    def _flat(self, parts: Array) -> Array:
        return self.xp.reshape(parts, (*parts.shape[:-2], -1))


class Phi(Part):
    """A = φ(z)."""

    count = 1

    def __init__(self, xp: ModuleType, activation: Activation) -> None:
        self.xp, self.activation = xp, activation

    def forward(self, z: Array) -> Array:
        """Return φ(z)."""
        return self.activation.function(self.xp, z)

    def factors(self, z: Array) -> Arrays:
        """Return φ′(z)."""
        return (self.activation.derivative(self.xp, z),)

    def backward(self, factors: Arrays, delta: Array) -> Array:
        """Return δ ⊙ φ′(z)."""
        return delta * factors[0]

    tangent = backward


def statistics(xp: ModuleType, parts: Array, kind: str) -> tuple[Array, Array]:
    """Return mean and variance of (…, B, C, P) over what shares them; those axes have length 1.

    The variance is the mean square, as in the forward pass of PyTorch; what PyTorch keeps as `running_var` is
    n/(n − 1) times that, n numbers having shared it. Both are float32 in half precision.
    """
    parts, both = widened(xp, parts), {"axis": _axes(kind), "keepdims": True}
    mean = xp.mean(parts, **both)
    return mean, xp.mean((parts - mean) ** 2, **both)


def _axes(kind: str) -> tuple[int, int]:
    return (-3, -1) if kind == "batch" else (-2, -1)
