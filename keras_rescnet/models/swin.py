"""Swin transformer, in the size of the paper's Table 5."""

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_integers, is_integer
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers import PatchMerging, WindowAttention
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import (
    Activation,
    linear_rates,
    logits,
)
from keras_rescnet.models.transformer import image_patches, transformer_block
from keras_rescnet.models.variant import variant
from keras_rescnet.self_gated import gelu


def Swin(
    patch_size: int,
    *,
    width: int,
    depths: Sequence[int],
    heads: Sequence[int],
    window_size: int,
    activation: Activation = gelu,
    drop_path: float = 0.0,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "swin",
) -> keras.Model:
    """Builds a Swin transformer that maps images to logits.

    Stages of attention within windows, which every second block shifts by half a window; between
    stages the map halves and its channels double. A stage whose map is no larger than a window
    has one window and no shift. Layers are named by their address: `patch_embedding`,
    `stage3_block2_attention`, `stage3_block2_out`, `stage3_merge`, `norm`, `pool`, `logits`.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021; the authors' `swin_transformer.py`.

    Args:
        patch_size: Side of a patch, which divides height and width of the images.
        width: Channels of the first stage.
        depths: Number of blocks in each stage.
        heads: Attention heads in each stage; divides the stage's channels.
        window_size: Side of a window, which divides the maps that are larger than it.
        activation: A Keras activation for the MLPs: `kr.gelu` (exact), `kr.gclu`, ... Defaults to
            `kr.gelu`.
        drop_path: Rate at which the last block's branches are dropped from an image in training; it
            grows linearly from 0 in the first. Defaults to 0.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"swin"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If patches or windows do not tile the maps, or heads do not divide the width.

    Example:

    >>> model = kr.models.Swin(4, width=24, depths=(1, 1), heads=(3, 6), window_size=4)
    >>> model.get_layer("stage2_block1_out").output.shape
    (None, 4, 4, 48)
    """
    check_integers("depths", depths)
    if not isinstance(heads, tuple | list):
        raise Mistake(f"`heads` must be a tuple, one per stage. Received: heads={heads!r}.")
    check_integer("width", width, 1)
    if len(depths) != len(heads):
        raise Mistake(
            "`depths` and `heads` must have one entry per stage. "
            f"Received: depths={depths}, heads={heads}."
        )
    inputs, x = image_patches(input_shape, patch_size, width)
    x = layers.LayerNormalization(epsilon=1e-5, name="patch_norm")(x)
    if not is_integer(window_size) or not 1 <= window_size <= min(x.shape[1:3]):
        raise Mistake(
            "`window_size` must be from 1 to the side of the first map, `input_shape` / "
            f"`patch_size`. Received: window_size={window_size!r}, a map of {_size(x)}."
        )
    rates = iter(linear_rates(drop_path, sum(depths)))
    for stage, (depth, stage_heads) in enumerate(zip(depths, heads, strict=True), start=1):
        side = min(window_size, *x.shape[1:3])
        check_map(x, side, stage, last=stage == len(depths))
        for block in range(1, depth + 1):
            shift = side // 2 if block % 2 == 0 and min(x.shape[1:3]) > window_size else 0
            x = transformer_block(
                x,
                partial(WindowAttention, stage_heads, side, shift),
                activation=activation,
                epsilon=1e-5,
                drop_path=next(rates),
                name=f"stage{stage}_block{block}",
            )
        if stage < len(depths):
            x = PatchMerging(name=f"stage{stage}_merge")(x)
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes, small_normal()), name=name)


def check_map(x, side, stage, *, last):
    """Raises a `Mistake` unless windows of `side` tile the map, and it can be halved."""
    height, width = x.shape[1:3]
    if height % side or width % side:
        common = [s for s in range(1, side) if height % s == width % s == 0]
        raise Mistake(
            f"`window_size` must divide the map of stage {stage}, {_size(x)}, as "
            f"{', '.join(map(str, common))} would. Received: window_size={side}."
        )
    if not last and (height % 2 or width % 2):
        raise Mistake(
            f"The map of every stage but the last must be even: make `input_shape` a multiple of "
            f"patch_size * 2 ** (stages - 1). Received: a map of {_size(x)} in stage {stage}."
        )


def _size(x):
    return " x ".join(str(size) for size in x.shape[1:3])


@variant(
    Swin,
    4,
    width=96,
    depths=(2, 2, 6, 2),
    heads=(3, 6, 12, 24),
    window_size=4,
    drop_path=0.1,
    name="swin_tiny",
)
def SwinTiny():
    """Swin-Tiny for CIFAR: patches and windows of 4, 12 blocks of 96 to 768 channels."""
