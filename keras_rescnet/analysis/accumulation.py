"""How many bits the sums of convolutions and dense layers need: variance retention."""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable

import keras
import numpy as np

from keras_rescnet.analysis.watching import layers_of, watching
from keras_rescnet.layers import PooledDense, WhiteningConv2D
from keras_rescnet.mistake import Mistake, shorten

LARGEST_LOSS = 50.0  # of `exp(n (1 - VRR))`, for a sum that still serves
_WIDEST = 64  # bits, beyond which no sum is looked for
_PLACES = 16384  # at which a sum over the steps of a long sum is evaluated
_erfc = np.vectorize(math.erfc, otypes=["float64"])


@functools.lru_cache(maxsize=4096)
def lost_variance(mantissa: int, product: int, length: int) -> float:
    """Returns the share of its variance that a sum in few bits loses, `1 - VRR`.

    A sum of `n` independent products with mean 0 has `n` times their variance. Where the sum is
    rounded to `m` bits of mantissa, small products are swamped by it: in part, from the step
    `alpha_j` on, or wholly. With the products' `p` bits, `Q` the tail of N(0, 1) and

        a(J)    = 2^(m - 3 p) / 3  sum_{j=1}^{J} 2^j (2^j - 1) (2^(j+1) - 1)
        alpha   = a(p),  alpha_j = a(j - 1)
        q_i     = 2 Q(2^m / sqrt(i)) (1 - 2 Q(2^m / sqrt(i - 1)))              i = 2 .. n - 1
        q'_j    = 2^(m - p + j) 2 Q(2^(m - p + j - 1) / sqrt(n))
                  (1 - 2 Q(2^(m - p + j) / sqrt(n)))                           j = 2 .. p
        k_3     = 1 - 2 Q(2^(m - p + 1) / sqrt(n))
        k       = sum_{i > alpha} q_i + sum_{j: n > alpha_j} q'_j + k_3
        1 - VRR = (sum_{i > alpha} (n - i + alpha) q_i + sum_{j: n > alpha_j} alpha_j q'_j) / (k n)

    Reference:
        Sakr et al., "Accumulation bit-width scaling for ultra-low precision training of deep
        networks", ICLR 2019, Theorem 1, as reimplementations have it: the paper's own text was not
        at hand, so the equation is not confirmed by it.

    Args:
        mantissa: Bits of the mantissa of the sum, `m`.
        product: Bits of the mantissa of the products, `p`.
        length: How many products are added, `n`.

    Returns:
        A number in [0, 1].
    """
    m, p, n = mantissa, product, length
    if n <= 2:
        return 0.0
    terms = np.array([2.0**j * (2.0**j - 1) * (2.0 ** (j + 1) - 1) for j in range(1, p + 1)])
    starts = 2.0 ** (m - 3 * p) / 3 * np.cumsum(terms)  # a(1) .. a(p)
    alpha = starts[-1]

    def swamped(i):
        return np.where(i > alpha, _two_tails(2.0**m / np.sqrt(i)), 0.0) * (
            1 - _two_tails(2.0**m / np.sqrt(i - 1))
        )

    wholly, steps = _sums(n, swamped, lambda i: (n - i + alpha) * swamped(i))
    j = np.arange(2, p + 1)
    begins = starts[j - 2]
    partly = 2.0 ** (m - p + j) * _two_tails(2.0 ** (m - p + j - 1) / math.sqrt(n))
    partly *= (1 - _two_tails(2.0 ** (m - p + j) / math.sqrt(n))) * (n > begins)
    k = wholly + partly.sum() + 1 - _two_tails(2.0 ** (m - p + 1) / math.sqrt(n))
    return float((steps + (begins * partly).sum()) / (k * n)) if k > 0 else 1.0


def _two_tails(distance):
    """`2 Q(distance)`."""
    return _erfc(distance / math.sqrt(2.0))


def _sums(n, *functions):
    """Returns the sums of functions over i = 2 .. n - 1, by trapezoids where that is many."""
    places = np.unique(np.geomspace(2, n - 1, _PLACES).round().astype("int64"))
    gaps = np.diff(places)
    for function in functions:
        values = function(places.astype("float64"))
        # Of a gap the middle ones, its right end, and with them the values in between
        between = gaps * (values[:-1] + values[1:]) / 2 + (values[1:] - values[:-1]) / 2
        yield values[0] + between.sum()


def least_mantissa(length: int, product: int = 5, chunk: int | None = None) -> int:
    """Returns the fewest bits of mantissa with which a sum still serves.

        exp(n (1 - VRR(m, p, n))) < 50

    In chunks of `n1` products, whose sums are then added, `VRR` is that of a chunk times
    `VRR(m, min(m, p + log2 n1), n / n1)`. No sum has fewer bits than its products.

    Args:
        length: How many products are added, `n`.
        product: Bits of the mantissa of the products. Defaults to 5, those of two factors with 2.
        chunk: Products per chunk, a power of 2, or `None` for a single sum.

    Returns:
        Bits of the mantissa, without the sign and the leading bit.

    Raises:
        Mistake: If an argument is out of range.

    Example:

    >>> from keras_rescnet.analysis.accumulation import least_mantissa
    >>> least_mantissa(128 * 32 * 32), least_mantissa(128 * 32 * 32, chunk=64)
    (12, 11)
    """
    if length < 1 or not 1 <= product <= 24:
        raise Mistake(
            "`length` must be at least 1 and `product` from 1 to 24. "
            f"Received: length={length}, product={product}."
        )
    if chunk is not None and (chunk < 2 or chunk & (chunk - 1)):
        raise Mistake(f"`chunk` must be a power of 2, at least 2. Received: chunk={chunk}.")
    for mantissa in range(product, _WIDEST):
        if chunk is None or length <= chunk:
            lost = lost_variance(mantissa, product, length)
        else:
            of_sums = min(mantissa, product + chunk.bit_length() - 1)
            inner = lost_variance(mantissa, product, chunk)
            outer = lost_variance(mantissa, of_sums, -(-length // chunk))
            lost = inner + outer - inner * outer
        if length * lost < math.log(LARGEST_LOSS):
            return mantissa
    raise Mistake(f"A sum must be shorter. Received: length={length}.")


@dataclasses.dataclass(frozen=True)
class Sums:
    """How many products the sums of a layer add.

    Args:
        layer: Address of the layer.
        forward: For an output.
        backward: For the gradient of an input; `None` of the first layer, which needs none.
        gradient: For the gradient of a weight.
    """

    layer: str
    forward: int
    backward: int | None
    gradient: int


def sums_of(model: keras.Model, batch_size: int, input_size: int | None = None) -> list[Sums]:
    """Returns the `Sums` of every convolution and dense layer of a model, in order of their calls.

        forward  = k^2 C_in / groups     backward = k^2 C_out / groups     gradient = N H W

    with the `k` by `k` kernel and the `H` by `W` outputs of `N` images; of a dense layer `k = 1`,
    and `H W` is the number of vectors per image. Layers within nested models and within other
    layers count, such as those of `RCLayer`. The model is called once, on zeros.

    Args:
        model: A model that is built.
        batch_size: `N`.
        input_size: Side of the images, of a model that leaves it open.

    Raises:
        Mistake: If an input's shape is not known, or there is no such layer.
    """
    calls: list[tuple] = []

    def watch(layer):
        def note(inputs, outputs):
            calls.append((layer, math.prod(outputs.shape[1:-1])))
            return outputs

        return watching(layer, note)

    addresses = layers_of(model)
    with contextlib.ExitStack() as stack:
        for layer in addresses:
            if isinstance(layer, _COUNTED):
                stack.enter_context(watch(layer))
        model(_zeros(model, input_size), training=False)
    if not calls:
        raise Mistake(
            "A model must have a convolution or a dense layer. "
            f"Received: {model.name}, which has none."
        )
    rows = []
    for number, (layer, positions) in enumerate(calls):
        *window, inputs, outputs = layer.kernel.shape
        taps = math.prod(window)
        forward, backward = taps * inputs, taps * outputs // getattr(layer, "groups", 1)
        if isinstance(layer, _DEPTHWISE):
            forward = taps  # and `outputs` are the multiples of one channel
        elif isinstance(layer, PooledDense):
            backward = outputs  # its window is part of the inputs
        gradient = batch_size * positions
        rows.append(Sums(addresses[layer], forward, backward if number else None, gradient))
    return rows


_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_COUNTED = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    WhiteningConv2D,
    PooledDense,
    *_DEPTHWISE,
)


def uncounted(model: keras.Model) -> list[str]:
    """Returns the addresses of the layers with a matrix of weights that `sums_of` leaves out."""
    return [
        address
        for layer, address in layers_of(model).items()
        if not isinstance(layer, _COUNTED)
        and any(len(variable.shape) > 1 for variable in layer._trainable_variables)
    ]


def alexnet(batch_size: int) -> list[Sums]:
    """Returns the sums of AlexNet on ImageNet, in the form of one tower.

    Reference:
        Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv
        1404.5997.
    """
    layers = {  # side of the kernel, channels in and out, side of the output
        "conv1": (11, 3, 64, 55),
        "conv2": (5, 64, 192, 27),
        "conv3": (3, 192, 384, 13),
        "conv4": (3, 384, 256, 13),
        "conv5": (3, 256, 256, 13),
        "fc6": (1, 6 * 6 * 256, 4096, 1),
        "fc7": (1, 4096, 4096, 1),
        "fc8": (1, 4096, 1000, 1),
    }
    return [
        Sums(name, k * k * inputs, None if name == "conv1" else k * k * outputs, batch_size * s * s)
        for name, (k, inputs, outputs, s) in layers.items()
    ]


def _zeros(model, input_size):
    """Returns one picture of zeros for each input of a model."""
    inputs = []
    for tensor in getattr(model, "inputs", None) or []:
        sides = [input_size if side is None else side for side in tensor.shape[1:]]
        if None in sides:
            raise Mistake(
                "A model must have inputs of known shape: give the side of the images, "
                f"--input_size. Received: {model.name} of {shorten(tuple(tensor.shape))}."
            )
        inputs.append(np.zeros((1, *sides), keras.backend.standardize_dtype(tensor.dtype)))
    if not inputs:
        raise Mistake(
            "A model must be functional or sequential, with known inputs. "
            f"Received: {model.name} of {type(model).__name__}."
        )
    return inputs if len(inputs) > 1 else inputs[0]


@dataclasses.dataclass(frozen=True)
class Bits:
    """The least mantissa of the sums of a layer: of single sums, and of sums in chunks.

    Args:
        sums: The `Sums` of the layer, or of several in a row that are alike.
        layers: How many they are.
        single: Bits for forward, backward (or `None`) and gradient.
        chunked: The same in chunks.
    """

    sums: Sums
    layers: int
    single: tuple[int | None, ...]
    chunked: tuple[int | None, ...]


def bits_of(rows: Iterable[Sums], product: int = 5, chunk: int = 64) -> list[Bits]:
    """Returns the `Bits` of layers; those in a row whose sums are alike become one.

    Args:
        rows: What `sums_of` returns.
        product: Bits of the mantissa of the products.
        chunk: Products per chunk.
    """

    def least(lengths, chunk):
        return tuple(None if n is None else least_mantissa(n, product, chunk) for n in lengths)

    found = []
    for lengths, alike in itertools.groupby(
        rows, key=lambda row: (row.forward, row.backward, row.gradient)
    ):
        first, *others = alike
        name = f"{first.layer} .. {others[-1].layer}" if others else first.layer
        sums = dataclasses.replace(first, layer=name)
        found.append(Bits(sums, 1 + len(others), least(lengths, None), least(lengths, chunk)))
    return found
