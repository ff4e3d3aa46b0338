"""Calibration layers, activations and the parts of vision transformers as Keras layers."""

from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.layers.class_attention import ClassAttention
from keras_rescnet.layers.class_token import ClassToken
from keras_rescnet.layers.gclu import GCLU
from keras_rescnet.layers.layer_scale import LayerScale
from keras_rescnet.layers.patch_merging import PatchMerging
from keras_rescnet.layers.pooled_dense import PooledDense
from keras_rescnet.layers.position_embedding import PositionEmbedding
from keras_rescnet.layers.rc_layer import RCLayer
from keras_rescnet.layers.self_attention import SelfAttention
from keras_rescnet.layers.squeeze_excite import SqueezeExcite
from keras_rescnet.layers.talking_heads_attention import TalkingHeadsAttention
from keras_rescnet.layers.window_attention import WindowAttention

__all__ = [
    "GCLU",
    "BatchNormalization",
    "ClassAttention",
    "ClassToken",
    "LayerScale",
    "PatchMerging",
    "PooledDense",
    "PositionEmbedding",
    "RCLayer",
    "SelfAttention",
    "SqueezeExcite",
    "TalkingHeadsAttention",
    "WindowAttention",
]
