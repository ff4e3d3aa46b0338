"""Weights of PyTorch models, under the names their authors gave them, into Keras models."""

from keras_rescnet.convert.torch_weights import NAMINGS, load_torch_weights

__all__ = ["NAMINGS", "load_torch_weights"]
