"""CaiT, class-attention in image transformers, in the size of the paper's Table 5."""

from functools import partial

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_share
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers import (
    ClassAttention,
    ClassToken,
    PositionEmbedding,
    TalkingHeadsAttention,
)
from keras_rescnet.models.blocks import Activation, logits
from keras_rescnet.models.transformer import image_patches, transformer_block
from keras_rescnet.models.variant import variant
from keras_rescnet.self_gated import gelu


def CaiT(
    patch_size: int,
    *,
    width: int,
    depth: int,
    class_depth: int = 2,
    heads: int,
    layer_scale: float = 1e-5,
    activation: Activation = gelu,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "cait",
) -> keras.Model:
    """Builds a CaiT that maps images to logits.

    Blocks of talking-heads attention among the patches; then a class token, which reads from
    them in blocks of class attention, and gives the logits. Layers are named by their address:
    `patch_embedding`, `block3_attention`, `block3_out`, `class_block1_out`, `norm`, `logits`.

    Reference:
        Touvron et al., "Going deeper with image transformers", ICCV 2021; timm's `cait.py`.

    Args:
        patch_size: Side of a patch, which divides height and width of the images.
        width: Channels of a token.
        depth: Number of blocks of the patches.
        class_depth: Number of blocks of the class token. Defaults to 2.
        heads: Attention heads; divides `width`.
        layer_scale: First value of the scales of every branch. Defaults to 1e-5.
        activation: A Keras activation for the MLPs: `kr.gelu` (exact), `kr.gclu`, ... Defaults to
            `kr.gelu`.
        drop_path: Rate at which each branch of the patches' blocks is dropped from an image in
            training. Defaults to 0.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"cait"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If `patch_size` does not divide the images, or `heads` the width.

    Example:

    >>> model = kr.models.CaiT(4, width=24, depth=2, heads=3)
    >>> model.get_layer("class_block1_out").output.shape
    (None, 1, 24)
    """
    check_integer("depth", depth, 1)
    check_integer("class_depth", class_depth, 1)
    check_share("drop_path", drop_path)
    block_of = partial(
        transformer_block, activation=activation, epsilon=1e-6, layer_scale=layer_scale
    )
    inputs, x = image_patches(input_shape, patch_size, width)
    x = layers.Reshape((-1, width), name="tokens")(x)
    x = PositionEmbedding(name="position_embedding")(x)
    attention = partial(TalkingHeadsAttention, heads)
    for block in range(1, depth + 1):
        x = block_of(x, attention, drop_path=drop_path, name=f"block{block}")
    token = ClassToken(name="class_token")(x)
    attention = partial(ClassAttention, heads)
    for block in range(1, class_depth + 1):
        token = block_of(token, attention, context=x, name=f"class_block{block}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(token[:, 0])
    return keras.Model(inputs, logits(x, classes, small_normal()), name=name)


@variant(CaiT, 4, width=192, depth=24, heads=4, name="cait_xxs24")
def CaiTXXS24():
    """CaiT-XXS24 for CIFAR: patches of 4 x 4 pixels, 24 blocks of 192 channels and 4 heads."""
