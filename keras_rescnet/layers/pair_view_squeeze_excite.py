"""Squeeze and excitation by a convolution over the pairs of both branches' channels."""

import keras

from keras_rescnet.arguments import is_integer
from keras_rescnet.layers.inner_imaging import InnerImaging
from keras_rescnet.mistake import Mistake, shorten


@keras.saving.register_keras_serializable(package="keras_rescnet")
class PairViewSqueezeExcite(InnerImaging):
    """CMPE-SE in pair view: gates from the pairs of averages that both branches have of a channel.

        v = [avgpool(residual), avgpool(identity)]           (N, C, 2)
        z = mean of the filters of normalization(K * v)      (N, C, 3 - kernel_width)
        y = residual sigmoid(W1 relu(W0 z))                  (N, H, W, C)

    where `K *` is a convolution of kernels of 1 x `kernel_width` and `normalization` a batch
    normalization. No layer has a bias. With `kernel_width=1`, the paper's best form, it has as many
    parameters as the RC Layer, but for biases. The gates are computed in float32 under every dtype
    policy (float64 under float64).

    Reference:
        Hu et al., "Competitive inner-imaging squeeze and excitation for residual network",
        arXiv 1807.08920; `CMPESEBlock2x1` and `CMPESEBlock1x1` of `src/block/cmpese_wrn_block.py`
        of github.com/scut-aitcm/CompetitiveSENet.

    Args:
        kernel_width: 2 (the paper's 2x1) or 1 (its 1x1). Defaults to 2.
        reduction: Channels per hidden unit. Defaults to 16.
        filters: Filters of the convolution. Defaults to `None`, a sixteenth of the channels; the
            authors' bottlenecks have a sixteenth of the channels of their 3x3 convolution.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        residual: Images `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
            unknown.
        identity: Images of the same shape.

    Output shape: that of `residual`.

    Raises:
        Mistake: If `kernel_width` is not 1 or 2, `reduction` or `filters` is not a positive
            integer, the branches are not images `(N, H, W, C)` of one shape with a known
            `C >= reduction`, or Keras is set to channels first.

    Example:

    >>> model = kr.models.CifarResNet8(calibration=kr.layers.PairViewSqueezeExcite)
    >>> layer = model.get_layer("stage3_block1_calibration")
    >>> layer.convolution.count_params()  # 4 filters of 1 x 2
    8
    """

    def __init__(
        self, kernel_width: int = 2, reduction: int = 16, filters: int | None = None, **kwargs
    ):
        if not is_integer(kernel_width) or kernel_width not in (1, 2):
            raise Mistake(
                "`kernel_width` must be 1 or 2, for there are two branches. "
                f"Received: kernel_width={shorten(kernel_width)}."
            )
        super().__init__((1, int(kernel_width)), reduction, filters, **kwargs)
        self.kernel_width = int(kernel_width)

    def _picture_size(self, channels):
        return channels, 2

    def _picture(self, pairs):
        return pairs

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "kernel_width": self.kernel_width}
