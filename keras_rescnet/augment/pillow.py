"""Pillow's image operations on whole batches, exact to the pixel.

Each takes uint8 images `(n, H, W, 3)` and, if it has a magnitude, one float64 for each image,
`(n,)`; it returns uint8 images of the same shape. What moves out of the image leaves grey
behind, (128, 128, 128). Checked against Pillow 13 and the paper's code, pixel for pixel.
"""

import math

import tensorflow as tf

GREY = 128


def autocontrast(images):
    """Stretches each channel to 0..255 (`ImageOps.autocontrast`)."""
    darkest, brightest = _extremes(images)
    low, high = tf.cast(darkest, "float64"), tf.cast(brightest, "float64")
    scale = 255 / tf.maximum(high - low, 1)
    levels = tf.range(256, dtype="float64")
    stretched = levels * scale[..., None] - (low * scale)[..., None]
    tables = tf.where((high > low)[..., None], tf.clip_by_value(stretched, 0, 255), levels)
    return _look_up(images, tables)


def equalize(images):
    """Makes each channel's histogram flat (`ImageOps.equalize`)."""
    count, height, width, channels = _shape(images)
    first = tf.range(count * channels) * 256  # of each channel's 256 bins, all in one row
    values = tf.cast(tf.reshape(images, (count, height * width * channels)), "int32")
    bins = values + tf.tile(tf.reshape(first, (count, channels)), (1, height * width))
    histogram = tf.math.unsorted_segment_sum(
        tf.ones((count * height * width * channels,), "int32"),
        tf.reshape(bins, [-1]),
        count * channels * 256,
    )
    _, brightest = _extremes(images)
    last = tf.gather(histogram, first + tf.reshape(tf.cast(brightest, "int32"), [-1]))
    step = (height * width - last[:, None]) // 255
    histogram = tf.reshape(histogram, (-1, 256))
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    flattened = tf.minimum((step // 2 + below) // tf.maximum(step, 1), 255)
    tables = tf.where(step > 0, flattened, tf.range(256))
    return _look_up(images, tf.reshape(tables, (count, channels, 256)))


def invert(images):
    """Returns `255 - images` (`ImageOps.invert`)."""
    return 255 - images


def posterize(images, bits):
    """Keeps the highest `bits` of each value (`ImageOps.posterize`)."""
    masks = 256 - tf.bitwise.left_shift(1, 8 - tf.cast(bits, "int32"))
    return _on_rows(tf.bitwise.bitwise_and, images, tf.cast(masks, "uint8"))


def solarize(images, threshold):
    """Inverts values at or above `threshold` (`ImageOps.solarize`)."""

    def invert_bright(values, limit):
        return tf.where(values < limit, values, 255 - values)

    values = tf.cast(images, "int16")
    inverted = _on_rows(invert_bright, values, tf.cast(tf.math.ceil(threshold), "int16"))
    return tf.cast(inverted, "uint8")


def brightness(images, factor):
    """Black at factor 0, the image at 1 (`ImageEnhance.Brightness`)."""
    return _blend(tf.zeros_like(images, "float32"), images, factor)


def contrast(images, factor):
    """The image's mean grey at factor 0, the image at 1 (`ImageEnhance.Contrast`)."""
    count, height, width, _ = _shape(images)
    pixels = height * width
    total = tf.reduce_sum(tf.reshape(_grey(images), (count, pixels)), axis=1)
    mean = tf.cast((2 * total + pixels) // (2 * pixels), "float32")
    degenerate = tf.broadcast_to(mean[:, None], (count, pixels * 3))
    return _blend(degenerate, images, factor)


def color(images, factor):
    """Grey at factor 0, the image at 1 (`ImageEnhance.Color`)."""
    return _blend(tf.repeat(tf.cast(_grey(images), "float32"), 3, axis=-1), images, factor)


def sharpness(images, factor):
    """Smooth at factor 0, the image at 1 (`ImageEnhance.Sharpness`)."""
    count, height, width, channels = _shape(images)
    if min(height, width) < 3:
        return images  # all edge, which is kept
    rows = tf.cast(tf.reshape(images, (count, height, width * channels)), "float32")
    wide = rows[:, :, : -2 * channels] + rows[:, :, channels:-channels] + rows[:, :, 2 * channels :]
    square = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    inner = rows[:, 1:-1, channels:-channels]
    smooth = tf.floor((square + 4 * inner) / 13 + 0.5)  # weight 5 in the middle; edges are kept
    middle = tf.concat([rows[:, 1:-1, :channels], smooth, rows[:, 1:-1, -channels:]], axis=2)
    return _blend(tf.concat([rows[:, :1], middle, rows[:, -1:]], axis=1), images, factor)


def translate_x(images, share):
    """Moves the image left by `share` of its width (`Image.transform`, nearest)."""
    one, zero = tf.ones_like(share), tf.zeros_like(share)
    return _nearest(images, (one, zero, share * images.shape[2], zero, one, zero))


def translate_y(images, share):
    """Moves the image up by `share` of its height (`Image.transform`, nearest)."""
    one, zero = tf.ones_like(share), tf.zeros_like(share)
    return _nearest(images, (one, zero, zero, zero, one, share * images.shape[1]))


def rotate(images, degrees):
    """Turns the image about its centre, counterclockwise (`Image.rotate`, nearest)."""
    x, y = images.shape[2] / 2, images.shape[1] / 2
    angle = degrees * (-math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _nearest(images, (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y))


def shear_x(images, slope):
    """Moves row y left by `slope` times y (`Image.transform`, bicubic)."""
    count, height, width, channels = _shape(images)
    rows = count * height
    shift = tf.reshape(slope[:, None] * (tf.range(height, dtype="float64") + 0.5), (rows, 1))
    whole = tf.floor(shift)
    # A row moves as one: gather it with the four pixels its bicubic weights reach beyond it.
    columns = tf.range(-1, width + 2) + tf.cast(whole, "int32")
    index = tf.range(rows)[:, None] * width + tf.clip_by_value(columns, 0, width - 1)
    near = tf.cast(tf.gather(tf.reshape(images, (rows * width, channels)), index), "float64")
    near = tf.reshape(near, (rows, (width + 3) * channels))
    a, b, c, e = (near[:, k * channels : (k + width) * channels] for k in range(4))
    column = tf.cast(tf.range(width * channels) // channels, "float64")
    source = column + 0.5 + shift
    d = source - 0.5 - (column + whole)  # not shift - whole: rounded as Pillow rounds it
    value = b + d * (c - a + d * (2 * (a - b) + c - e + d * (b - a + e - c)))
    inside = (source >= 0) & (source < width)
    sheared = tf.where(inside, tf.clip_by_value(value, 0, 255), GREY)
    return tf.reshape(tf.cast(sheared, "uint8"), tf.shape(images))


def shear_y(images, slope):
    """Moves column x up by `slope` times x (`Image.transform`, bicubic)."""
    return _swap_axes(shear_x(_swap_axes(images), slope))


def _swap_axes(images):
    """Returns `(n, W, H, 3)`.

    Not by `tf.transpose`: of uint8 it prints an error of oneDNN's on some CPUs.
    """
    count, height, width, channels = _shape(images)
    places = tf.range(width)[:, None] + tf.range(height) * width
    pixels = tf.reshape(images, (count, height * width, channels))
    return tf.reshape(
        tf.gather(pixels, tf.reshape(places, [-1]), axis=1), (count, width, height, channels)
    )


def _shape(images):
    return tf.shape(images)[0], *images.shape[1:]


def _on_rows(function, images, per_image):
    """Applies `function(values, per_image)`: two axes broadcast several times faster than four."""
    flat = tf.reshape(images, (tf.shape(images)[0], math.prod(images.shape[1:])))
    return tf.reshape(function(flat, per_image[:, None]), tf.shape(images))


def _extremes(images):
    """The smallest and the largest value of each channel, `(n, 3)` each."""
    count, height, width, channels = _shape(images)
    pixels = tf.reshape(images, (count, height * width, channels))
    return tf.reduce_min(pixels, axis=1), tf.reduce_max(pixels, axis=1)


def _grey(images):
    """Luminance, int32 `(n, H, W)`, as `Image.convert("L")` rounds it."""
    red, green, blue = tf.unstack(tf.cast(images, "int32"), axis=-1)
    return tf.bitwise.right_shift(19595 * red + 38470 * green + 7471 * blue + 32768, 16)


def _look_up(images, tables):
    """Replaces every value by its entry in `tables`, `(n, 3, 256)`."""
    count, height, width, channels = _shape(images)
    first = tf.reshape(tf.range(count * channels) * 256, (count, channels))
    values = tf.cast(tf.reshape(images, (count, height * width * channels)), "int32")
    entries = values + tf.tile(first, (1, height * width))
    found = tf.gather(tf.reshape(tf.cast(tables, "uint8"), [-1]), entries)
    return tf.reshape(found, tf.shape(images))


def _blend(degenerate, images, factor):
    """Returns `degenerate + factor (images - degenerate)`, cut to 0..255 and truncated."""
    flat = (tf.shape(images)[0], math.prod(images.shape[1:]))
    start = tf.reshape(degenerate, flat)
    values = tf.cast(tf.reshape(images, flat), "float32")
    blended = start + tf.cast(factor, "float32")[:, None] * (values - start)
    return tf.reshape(tf.cast(tf.clip_by_value(blended, 0, 255), "uint8"), tf.shape(images))


def _nearest(images, matrix):
    """Samples at `(a x + b y + c, d x + e y + f)` in 16.16 fixed point, as Pillow does."""
    count, height, width, channels = _shape(images)
    a, b, c, d, e, f = (value[:, None, None] for value in matrix)
    column, row = tf.range(width), tf.range(height)[:, None]

    def fixed(value):
        return tf.cast(tf.floor(value * 65536 + 0.5), "int32")

    x = tf.bitwise.right_shift(fixed(c + (a + b) / 2) + fixed(a) * column + fixed(b) * row, 16)
    y = tf.bitwise.right_shift(fixed(f + (d + e) / 2) + fixed(d) * column + fixed(e) * row, 16)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    start = tf.range(count)[:, None, None] * (height * width)
    index = tf.where(inside, start + y * width + x, count * height * width)
    pixels = tf.reshape(images, (-1, channels))
    grey = tf.fill((1, channels), tf.constant(GREY, "uint8"))
    return tf.gather(tf.concat([pixels, grey], axis=0), index)
