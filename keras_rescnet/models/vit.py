"""Vision transformer, in the size of the paper's Table 5."""

from functools import partial

import keras
from keras import layers

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers import ClassToken, PositionEmbedding, SelfAttention
from keras_rescnet.models.blocks import Activation, linear_rates, logits
from keras_rescnet.models.transformer import image_patches, transformer_block
from keras_rescnet.models.variant import variant
from keras_rescnet.self_gated import gelu


def ViT(
    patch_size: int,
    *,
    width: int,
    depth: int,
    heads: int,
    activation: Activation = gelu,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "vit",
) -> keras.Model:
    """Builds a vision transformer that maps images to logits.

    Patches become tokens, a class token goes before them, positions are learned; the class
    token's features, normalized, give the logits. Layers are named by their address:
    `patch_embedding`, `block3_attention`, `block3_mlp_1`, `block3_out`, `norm`, `logits`.

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, with the pre-norm blocks
        and sizes of timm's `vision_transformer.py`.

    Args:
        patch_size: Side of a patch, which divides height and width of the images.
        width: Channels of a token.
        depth: Number of blocks.
        heads: Attention heads; divides `width`.
        activation: A Keras activation for the MLPs: `kr.gelu` (exact), `kr.gclu`, ... Defaults to
            `kr.gelu`.
        drop_path: Rate at which the last block's branches are dropped from an image in training; it
            grows linearly from 0 in the first. Defaults to 0.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"vit"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If `patch_size` does not divide the images, or `heads` the width.

    Example:

    >>> model = kr.models.ViT(
    ...     16, width=48, depth=2, heads=3, activation=kr.gclu, input_shape=(224, 224, 3)
    ... )
    >>> model.get_layer("block2_out").output.shape  # 14 x 14 patches and the class token
    (None, 197, 48)
    """
    check_integer("depth", depth, 1)
    inputs, x = image_patches(input_shape, patch_size, width)
    x = layers.Reshape((-1, width), name="tokens")(x)
    token = ClassToken(stddev=1e-6, name="class_token")(x)
    x = layers.Concatenate(axis=1, name="all_tokens")([token, x])
    x = PositionEmbedding(name="position_embedding")(x)
    for block, rate in enumerate(linear_rates(drop_path, depth), start=1):
        x = transformer_block(
            x,
            partial(SelfAttention, heads),
            activation=activation,
            epsilon=1e-6,
            drop_path=rate,
            name=f"block{block}",
        )
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x[:, 0])
    return keras.Model(inputs, logits(x, classes, small_normal()), name=name)


@variant(ViT, 4, width=192, depth=12, heads=3, name="vit_tiny")
def ViTTiny():
    """ViT-Tiny for CIFAR: patches of 4 x 4 pixels, 12 blocks of 192 channels and 3 heads."""
