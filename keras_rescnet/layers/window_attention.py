"""Window attention with relative position bias."""

import keras
import numpy as np
from keras import ops

from keras_rescnet.arguments import check_integer, is_integer
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers.images import check_channels_last
from keras_rescnet.layers.self_attention import SelfAttention
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class WindowAttention(SelfAttention):
    """Self-attention within square windows of a map, shifted or not, with a bias by distance.

        x       = windows(roll(x, -shift))                   (N, windows, T, C), T = window_size^2
        q, k, v = split(Wqkv x + bqkv)                       (N, windows, heads, T, C // heads) each
        a       = softmax(q k^T / sqrt(C // heads) + B + M)  (N, windows, heads, T, T)
        y       = roll(map(Wp concat_heads(a v) + bp), shift)     (N, H, W, C)

    where `B` holds one learned number per head and offset between two places of a window
    and starts as N(0, 0.02^2), and `M` is -100 between places that only the roll made
    neighbours.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, Eq. 4 and Fig. 4.

    Args:
        heads: Number of heads; divides `C`.
        window_size: Side of a window; divides `H` and `W`.
        shift: How far the windows are shifted down and right, less than `window_size`.
            Defaults to 0.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)` with known `H` and `W`. Output shape: the same.

    Raises:
        Mistake: If `window_size` is not a positive integer, `shift` is not an integer from 0 to
            `window_size - 1`, `heads` is not a positive integer that divides C, maps are not
            `(N, H, W, C)` with known H, W and C of which `window_size` divides H and W, or Keras is
            set to channels first.

    Example:

    >>> images = keras.Input((56, 56, 96))
    >>> layer = kr.layers.WindowAttention(heads=3, window_size=7, shift=3)
    >>> layer(images).shape
    (None, 56, 56, 96)
    >>> tuple(layer.relative_position_bias.shape)
    (169, 3)
    """

    def __init__(self, heads: int, window_size: int, shift: int = 0, **kwargs):
        super().__init__(heads, **kwargs)
        check_integer("window_size", window_size, 1)
        if not is_integer(shift) or not 0 <= shift < window_size:
            raise Mistake(
                "`shift` must be at least 0 and less than `window_size`. "
                f"Received: shift={shift!r}, window_size={window_size}."
            )
        self.window_size = int(window_size)
        self.shift = int(shift)

    def build(self, input_shape):
        """Makes the dense layers and the biases for a map of `input_shape`."""
        check_channels_last("WindowAttention")
        size = self.window_size
        if len(input_shape) != 4 or any(not s or s % size for s in input_shape[1:3]):
            raise Mistake(
                "WindowAttention expects maps of shape (N, H, W, C) with known H and W that "
                f"`window_size` divides. Received: input_shape={tuple(input_shape)}, "
                f"window_size={size}."
            )
        super().build(input_shape)
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))  # of the mask
        self.relative_position_bias = self.add_weight(
            shape=((2 * size - 1) ** 2, self.heads),
            initializer=small_normal(),
            name="relative_position_bias",
        )
        places = np.stack(np.divmod(np.arange(size**2), size), axis=-1)
        offsets = places[:, None] - places[None, :] + size - 1  # (T, T, 2), from 0
        self._offset_index = (offsets[..., 0] * (2 * size - 1) + offsets[..., 1]).reshape(-1)
        self._mask = self._roll_mask(*input_shape[1:3]) if self.shift else None

    def _roll_mask(self, height, width):
        """-100 between two places of a window from different sides of the map, else 0."""

        def side(length):  # 0, 1 before the seam of the last window, 2 behind it
            place = np.arange(length)
            return (place >= length - self.window_size) * 1 + (place >= length - self.shift)

        size = self.window_size
        sides = 3 * side(height)[:, None] + side(width)
        sides = sides.reshape(height // size, size, width // size, size)
        sides = sides.transpose(0, 2, 1, 3).reshape(-1, size**2)  # (windows, T)
        return np.where(sides[:, :, None] == sides[:, None, :], 0.0, -100.0)[:, None]

    def call(self, inputs):
        """Returns what every place of the map reads from its window."""
        x = _rolled(inputs, -self.shift) if self.shift else inputs
        x = self._to_map(super().call(self._to_windows(x)), inputs.shape)
        return _rolled(x, self.shift) if self.shift else x

    def attention_weights(self, scores):
        """Returns the weights `(N, windows, heads, T, T)` that sum to 1 over the keys."""
        tokens = self.window_size**2
        bias = ops.take(self.relative_position_bias, self._offset_index, axis=0)
        bias = ops.transpose(ops.reshape(bias, (tokens, tokens, self.heads)), (2, 0, 1))
        scores = scores + ops.cast(bias, scores.dtype)
        if self._mask is not None:
            scores = scores + ops.cast(self._mask, scores.dtype)
        return super().attention_weights(scores)

    def _to_windows(self, x):
        """Returns a map `(N, H, W, C)` as windows `(N, windows, T, C)`."""
        size, (_, height, width, channels) = self.window_size, x.shape
        x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * width // size**2, size**2, channels))

    def _to_map(self, x, shape):
        """Returns windows `(N, windows, T, C)` as a map of `shape`."""
        size, (_, height, width, channels) = self.window_size, shape
        x = ops.reshape(x, (-1, height // size, width // size, size, size, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "window_size": self.window_size, "shift": self.shift}


def _rolled(x, shift):
    """Returns what `ops.roll` along both sides does, which LiteRT has no operation for."""
    for axis in (1, 2):
        first, rest = ops.split(x, [-shift % x.shape[axis]], axis=axis)
        x = ops.concatenate([rest, first], axis=axis)
    return x
