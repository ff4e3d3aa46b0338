"""Calibrations, activations, parts of vision transformers and of training as Keras layers."""

from keras_rescnet.layers.acon import ACON
from keras_rescnet.layers.advanced_dropout import AdvancedDropout
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.layers.class_attention import ClassAttention
from keras_rescnet.layers.class_token import ClassToken
from keras_rescnet.layers.competitive_squeeze_excite import CompetitiveSqueezeExcite
from keras_rescnet.layers.convolutional_block_attention import ConvolutionalBlockAttention
from keras_rescnet.layers.coordinate_attention import CoordinateAttention
from keras_rescnet.layers.efficient_channel_attention import EfficientChannelAttention
from keras_rescnet.layers.folded_squeeze_excite import FoldedSqueezeExcite
from keras_rescnet.layers.gated_channel_transformation import GatedChannelTransformation
from keras_rescnet.layers.gather_excite import GatherExcite
from keras_rescnet.layers.gaussian_context_transformer import GaussianContextTransformer
from keras_rescnet.layers.gclu import GCLU
from keras_rescnet.layers.layer_scale import LayerScale
from keras_rescnet.layers.multi_scale_recalibration import MultiScaleRecalibration
from keras_rescnet.layers.pair_view_squeeze_excite import PairViewSqueezeExcite
from keras_rescnet.layers.patch_merging import PatchMerging
from keras_rescnet.layers.pooled_dense import PooledDense
from keras_rescnet.layers.position_embedding import PositionEmbedding
from keras_rescnet.layers.rc_layer import RCLayer
from keras_rescnet.layers.region_mask import RegionMask
from keras_rescnet.layers.self_attention import SelfAttention
from keras_rescnet.layers.sim_am import SimAM
from keras_rescnet.layers.squeeze_excite import SqueezeExcite
from keras_rescnet.layers.style_recalibration import StyleRecalibration
from keras_rescnet.layers.talking_heads_attention import TalkingHeadsAttention
from keras_rescnet.layers.weight_noise import WeightNoise
from keras_rescnet.layers.whitening_conv2d import WhiteningConv2D
from keras_rescnet.layers.window_attention import WindowAttention

__all__ = [
    "ACON",
    "GCLU",
    "AdvancedDropout",
    "BatchNormalization",
    "ClassAttention",
    "ClassToken",
    "CompetitiveSqueezeExcite",
    "ConvolutionalBlockAttention",
    "CoordinateAttention",
    "EfficientChannelAttention",
    "FoldedSqueezeExcite",
    "GatedChannelTransformation",
    "GatherExcite",
    "GaussianContextTransformer",
    "LayerScale",
    "MultiScaleRecalibration",
    "PairViewSqueezeExcite",
    "PatchMerging",
    "PooledDense",
    "PositionEmbedding",
    "RCLayer",
    "RegionMask",
    "SelfAttention",
    "SimAM",
    "SqueezeExcite",
    "StyleRecalibration",
    "TalkingHeadsAttention",
    "WeightNoise",
    "WhiteningConv2D",
    "WindowAttention",
]
