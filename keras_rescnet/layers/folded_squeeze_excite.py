"""Squeeze and excitation by a convolution over the folded averages of both branches."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.layers.inner_imaging import InnerImaging
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class FoldedSqueezeExcite(InnerImaging):
    """CMPE-SE with folded inner imaging: gates from a 3x3 convolution over both branches' averages.

        p = rows of avgpool(residual) and avgpool(identity)  (N, 2 groups, C / groups)
        z = mean of the filters of normalization(K * p)      (N, 2 groups - 2, C / groups - 2)
        y = residual sigmoid(W1 relu(W0 z))                  (N, H, W, C)

    where row `2 g` has the channels of group `g` of the residual branch and row `2 g + 1` those of
    the identity branch, `K *` is a convolution without padding and `normalization` a batch
    normalization. No layer has a bias. The gates are computed in float32 under every dtype policy
    (float64 under float64).

    Reference:
        Hu et al., "Competitive inner-imaging squeeze and excitation for residual network",
        arXiv 1807.08920; `CMPESEBlock3x3` of `src/block/cmpese_wrn_block.py` of
        github.com/scut-aitcm/CompetitiveSENet.

    Args:
        groups: Groups of consecutive channels, 2 at least, of 3 channels at least. Defaults to 4.
            The authors take 10 for WRN-28-10, and groups of 16 channels for ResNet-164.
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
        Mistake: If `reduction` or `filters` is not a positive integer, `groups` does not divide C
            into at least 2 groups of at least 3, the branches are not images `(N, H, W, C)` of one
            shape with a known `C >= reduction`, or Keras is set to channels first.

    Example:

    >>> model = kr.models.CifarResNet8(calibration=kr.layers.FoldedSqueezeExcite)
    >>> layer = model.get_layer("stage3_block1_calibration")
    >>> layer.hidden.count_params()  # 6 x 14 places, 4 units
    336
    """

    def __init__(self, groups: int = 4, reduction: int = 16, filters: int | None = None, **kwargs):
        super().__init__((3, 3), reduction, filters, **kwargs)
        check_integer("groups", groups, 1)
        self.groups = int(groups)

    def _picture_size(self, channels):
        if self.groups < 2 or channels % self.groups or channels // self.groups < 3:
            raise Mistake(
                "`groups` must be at least 2 and divide the channels into groups of at least 3. "
                f"Received: groups={self.groups}, channels={channels}."
            )
        return 2 * self.groups, channels // self.groups

    def _picture(self, pairs):
        rows, columns = self._picture_size(pairs.shape[1])
        groups = ops.reshape(pairs, (-1, self.groups, columns, 2))
        return ops.reshape(ops.transpose(groups, (0, 1, 3, 2)), (-1, rows, columns))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "groups": self.groups}
