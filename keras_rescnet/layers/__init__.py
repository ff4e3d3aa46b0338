"""Calibration layers and activations as Keras layers."""

from keras_rescnet.layers.gclu import GCLU
from keras_rescnet.layers.rc_layer import RCLayer
from keras_rescnet.layers.squeeze_excite import SqueezeExcite
