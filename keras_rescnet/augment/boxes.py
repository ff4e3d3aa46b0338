"""Boxes of random area and shape, as torchvision draws them."""

from keras_rescnet.arguments import check_pair

ATTEMPTS = 10  # draws of a box that must fit into the image, as torchvision makes them


def check_box(scale, ratio):
    """Raises `Mistake` unless `scale` is two rising shares and `ratio` two rising numbers."""
    check_pair("scale", scale, high=1)
    check_pair("ratio", ratio)
