"""What ViT, Swin and CaiT share: patches and the pre-normalized block."""

from keras import layers

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform, small_normal
from keras_rescnet.layers import LayerScale
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import activated, image_input


def image_patches(input_shape, patch_size, width):
    """Checks the sizes and embeds every patch of the images.

    Args:
        input_shape: Height, width and channels of the images, all known.
        patch_size: Side of a patch, which divides height and width.
        width: Channels of the embedding.

    Returns:
        The `keras.Input`, and a symbolic map `(N, height / patch_size, ..., width)`.
    """
    check_integer("patch_size", patch_size, 1)
    check_integer("width", width, 1)
    inputs = image_input(input_shape)
    if any(size is None or size % patch_size for size in inputs.shape[1:3]):
        raise Mistake(
            "`input_shape` must have a known height and width that `patch_size` divides. "
            f"Received: input_shape={tuple(input_shape)}, patch_size={patch_size}."
        )
    x = layers.Conv2D(
        int(width),
        int(patch_size),
        strides=int(patch_size),
        **fan_in_uniform(patch_size**2 * inputs.shape[-1]),
        name="patch_embedding",
    )(inputs)
    return inputs, x


def transformer_block(
    x,
    attention,
    *,
    activation,
    epsilon,
    drop_path=0.0,
    layer_scale=None,
    context=None,
    name,
):
    """Two residual branches, each normalized first.

        x <- x + drop_path(scale1 attention(norm1(x)))
        x <- x + drop_path(scale2 mlp(norm2(x)))

    Args:
        x: Symbolic tokens `(N, T, C)` or map `(N, H, W, C)`.
        attention: Makes the attention layer, called with a `name`.
        activation: A Keras activation, between the two layers of the MLP, which is 4 C wide.
        epsilon: Of the normalizations.
        drop_path: Rate at which a branch is dropped from an image in training.
        layer_scale: First value of the two scales, or `None` for no scales.
        context: Tokens that attention also sees, behind those of `x`; or `None`.
        name: Prefix of the names of the layers; `name_out` is the last.

    Returns:
        A symbolic tensor of the shape of `x`.
    """

    def residual(y, branch, out):
        if layer_scale is not None:
            y = LayerScale(layer_scale, name=f"{name}_{branch}_scale")(y)
        if drop_path:
            noise_shape = (None, *(1 for _ in y.shape[1:]))  # one draw per image
            y = layers.Dropout(drop_path, noise_shape, name=f"{name}_{branch}_drop_path")(y)
        return layers.Add(name=out)([x, y])

    y = x if context is None else layers.Concatenate(axis=1, name=f"{name}_concat")([x, context])
    y = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_norm1")(y)
    y = attention(name=f"{name}_attention")(y)
    x = residual(y, "attention", f"{name}_attention_add")
    y = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_norm2")(x)
    y = dense(y, 4 * x.shape[-1], name=f"{name}_mlp_1")
    y = activated(y, activation, f"{name}_mlp_activation")
    y = dense(y, x.shape[-1], name=f"{name}_mlp_2")
    return residual(y, "mlp", f"{name}_out")


def dense(x, units, *, name):
    """A dense layer that starts as N(0, 0.02^2)."""
    return layers.Dense(units, kernel_initializer=small_normal(), name=name)(x)
