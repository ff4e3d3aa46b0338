"""Why does AlexNet fail with GELU?

    python train.py --recipe recipes/alexnet_slopes.py:gelu-larger

Cost and score: 16 minutes on one of two CPU cores; 6 of the 6 have been run at full length: `relu`
42.22 %, `relu-larger` 42.36 %, `gelu` 1.00 %, `gelu-larger` 47.23 %, `gclu` 32.20 % and
`gclu-smaller` 31.28 %; `gclu`, `gelu-larger` and `relu` with two seeds, the others with one.

In Table 5 of the paper AlexNet on CIFAR-100 ends at 57.65 % with ReLU, 62.33 % with GCLU, and
1.23 %, which is chance, with GELU. AlexNet does not normalize, and its initial weights make small
responses. Small responses are multiplied by the slopes a and b to the left and right of 0, in the
root mean square by sqrt((a^2 + b^2) / 2), seven times over: with ReLU by 0.71, with GELU by 0.5,
with GCLU by 1.12. So before the training the logits of different images differ 10 times as much
with GCLU as with ReLU, and 70 times as much as with GELU. Where gradients are that small, weight
decay is stronger.

Three of these recipes have other initial weights in all layers after an activation, so that the
logits differ as much as with another one: `relu-larger` and `gelu-larger` as with GCLU,
`gclu-smaller` as with GELU. docs/reproduction.md says what came of it.

The network is a narrower AlexNet (3.2 of 57.2 million parameters), and 20 epochs take the place of
200. All else is Table 5's.
"""

from functools import partial

from keras_rescnet import Recipe, augment, gclu, gelu
from keras_rescnet.data import CIFAR100
from keras_rescnet.models import AlexNet
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


def multiply(factor, model, images):
    """Multiplies the initial weights of all layers that follow an activation."""
    for layer in model.layers:
        if hasattr(layer, "kernel") and layer.name != "conv1":
            layer.kernel.assign(factor * layer.kernel)


arms = {  # activation, factor of the initial weights
    "relu": ("relu", 1.0),
    "gelu": (gelu, 1.0),
    "gclu": (gclu, 1.0),
    "relu-larger": ("relu", 1.39),
    "gelu-larger": (gelu, 1.73),
    "gclu-smaller": (gclu, 1 / 1.92),
}
recipes = {
    name: Recipe(
        dataset=CIFAR100,
        augment=transforms,
        adapt=None if factor == 1.0 else partial(multiply, factor),
        model=partial(AlexNet, widths=(32, 96, 192, 128, 128), hidden=512, activation=activation),
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=20,
        learning_rate=0.1,
        warmup_epochs=5,
    )
    for name, (activation, factor) in arms.items()
}
