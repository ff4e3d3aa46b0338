"""Crops of random size and shape."""

import math

import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.augment.boxes import ATTEMPTS, check_box
from keras_rescnet.augment.cores import map_images
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.augment.value_range import PIXELS, check_value_range, from_uint8, to_pixels


class RandomResizedCrop:
    """Cuts a window of random area and shape and resizes it to a square.

    Area `a ~ U(scale) H W` and aspect `log(q) ~ U(log(ratio))` give a window of
    `round(sqrt(a q))` columns and `round(sqrt(a / q))` rows, anywhere inside the image; what
    does not fit is drawn again, up to ten times, and then it is the largest central window of
    an allowed aspect. Bilinear with antialiasing. Returns uint8 images, or float32 in a
    `value_range` of its own, both rounded to 256 levels.

    First in a list of transforms of pictures that are read from files, it makes the reader
    decode the window only.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), as torchvision's
        `RandomResizedCrop` on Pillow images.

    Args:
        size: Side of the resulting square in pixels.
        scale: Smallest and largest share of the image's area. Defaults to (0.08, 1).
        ratio: Smallest and largest width over height. Defaults to (3/4, 4/3).
        value_range: Smallest and largest value of the images. Defaults to (0, 255), the range
            that `train_batches` works in.

    Raises:
        Mistake: If `size`, `scale`, `ratio` or `value_range` is out of its range; when called, if
            the batch or the seed is not as `Transform` describes it, or images are evidently not in
            `value_range`.

    Example:

    >>> batch = {"images": np.zeros((4, 60, 80, 3), "uint8"), "labels": np.eye(4)}
    >>> kr.augment.RandomResizedCrop(32)(batch, (0, 1))["images"].shape
    TensorShape([4, 32, 32, 3])
    """

    reach = 0

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        value_range: tuple[float, float] = PIXELS,
    ):
        check_integer("size", size, 1)
        check_box(scale, ratio)
        self.size = size
        self.scale = scale
        self.ratio = ratio
        self.value_range = check_value_range(value_range)

    def __call__(self, batch, rows):
        """Returns the batch with its images cropped, `(N, size, size, C)`."""
        images, rows = images_and_rows(batch, rows)
        count, height, width, channels = images.shape
        images = to_pixels(images, self.value_range, "RandomResizedCrop", rows)

        def crop(arguments):
            image, draws = arguments
            top, left, rows, columns = self.window(tf.constant([height, width]), draws)
            return resize(image[top : top + rows, left : left + columns], self.size)

        shape = tf.TensorSpec((self.size, self.size, channels), "uint8")
        draws = self.draw(count, rows)
        cropped = map_images(crop, (images, draws), shape)
        cropped = tf.ensure_shape(cropped, (count, *shape.shape))
        return {**batch, "images": from_uint8(cropped, self.value_range)}

    def draw(self, count, rows):
        """Returns the random numbers in [0, 1) that the windows of `count` images depend on."""
        return rows.draw((count, 2 * ATTEMPTS + 2))

    def window(self, sides, draws):
        """Returns the window of one image.

        Args:
            sides: Height and width of the image, int32 `(2,)`.
            draws: The image's row of what `draw` returns.

        Returns:
            Top, left, rows and columns, int32 scalars.
        """
        sides = tf.cast(sides, "float32")
        share, log_ratio, chance = tf.split(draws, [ATTEMPTS, ATTEMPTS, 2])
        low, high = self.scale
        area = (low + share * (high - low)) * sides[0] * sides[1]
        low, high = map(math.log, self.ratio)
        aspect = tf.exp(low + log_ratio * (high - low))
        drawn = tf.round(tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)], axis=1))
        fits = tf.reduce_all((drawn >= 1) & (drawn <= sides), axis=1)
        first = tf.argmax(fits)
        # As wide and as high as the aspects allow.
        rows = tf.minimum(sides[0], tf.round(sides[1] / self.ratio[0]))
        columns = tf.minimum(sides[1], tf.round(sides[0] * self.ratio[1]))
        middle = tf.maximum(tf.stack([rows, columns]), 1)
        window = tf.where(fits[first], drawn[first], middle)
        free = sides - window
        start = tf.where(fits[first], tf.floor(chance * (free + 1)), tf.floor(free / 2))
        return tf.unstack(tf.cast(tf.concat([start, window], axis=0), "int32"))


def resize(image, size, scale=None, offset=(0.0, 0.0)):
    """Resizes one image, `(H, W, C)`, to a square: bilinear, antialiased, rounded to uint8.

    Args:
        image: Pixels in [0, 255].
        size: Side of the square.
        scale: Output pixels per input pixel, downwards and across; by default what makes the
            image fill the square.
        offset: Position of the image's top left corner in the square.
    """
    if scale is None:
        scale = size / tf.cast(tf.shape(image)[:2], "float32")
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(image, "float32")[None],
        size=(size, size),
        scale=scale,
        translation=offset,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), "uint8")
