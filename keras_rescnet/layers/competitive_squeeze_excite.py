"""Squeeze and excitation by both branches of a residual block."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_branches


@keras.saving.register_keras_serializable(package="keras_rescnet")
class CompetitiveSqueezeExcite(CalibrationLayer):
    """Competitive squeeze and excitation (CMPE-SE, double FC): gates read off both branches.

        h = [relu(W0 avgpool(residual)); relu(W1 avgpool(identity))]    (N, 2 (C // reduction))
        y = residual sigmoid(W2 h)                                      (N, H, W, C)

    The residual branch alone is scaled; the identity branch says how much of it is needed. No dense
    layer has a bias. The gates are computed in float32 under every dtype policy (float64 under
    float64).

    Reference:
        Hu et al., "Competitive inner-imaging squeeze and excitation for residual network",
        arXiv 1807.08920; `CMPESEBlockDoubleFC` of `src/block/cmpese_wrn_block.py` of
        github.com/scut-aitcm/CompetitiveSENet.

    Args:
        reduction: Channels per hidden unit. Defaults to 16.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        residual: Images `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
            unknown.
        identity: Images of the same shape.

    Output shape: that of `residual`.

    Raises:
        Mistake: If `reduction` is not a positive integer, the branches are not images
            `(N, H, W, C)` of one shape with a known `C >= reduction`, or Keras is set to channels
            first.

    Example:

    >>> model = kr.models.CifarResNet8(
    ...     calibration=kr.layers.CompetitiveSqueezeExcite, activation=kr.gclu
    ... )
    >>> model.get_layer("stage3_block1_calibration").count_params()  # 4 x 64 x 64 / 16
    1024
    """

    def __init__(self, reduction: int = 16, **kwargs):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        self.reduction = int(reduction)

    def build(self, residual_shape, identity_shape):
        """Makes the dense layers."""
        check_branches(self, residual_shape, identity_shape, self.reduction)
        channels = residual_shape[-1]
        units = channels // self.reduction
        self.residual = self._dense(units, channels, "residual", "relu")
        self.identity = self._dense(units, channels, "identity", "relu")
        self.gate = self._dense(channels, 2 * units, "gate", "sigmoid")

    def call(self, residual, identity):
        """Returns `residual` with every channel scaled by its gate."""
        hidden = [
            self.residual(self._average(residual)),
            self.identity(self._average(identity)),
        ]
        return self._scaled(residual, self.gate(ops.concatenate(hidden, axis=-1)))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "reduction": self.reduction}
