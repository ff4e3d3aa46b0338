"""Every builder: what it costs, beside what the paper says."""

import inspect

from keras_rescnet import models
from keras_rescnet.models import (
    airbench,
    alexnet,
    cait,
    preactivation,
    resnet,
    resnet_cifar,
    swin,
    vgg,
    vit,
)
from keras_rescnet.models.complexity import (
    activation_bytes,
    count_parameters,
    multiplications,
    outline,
)

# (builder, classes) -> parameters and FLOPs, as the paper's Tables 1 and 2 print them.
PAPER = {
    ("CifarResNet32", 10): ("466.91 K", "70.37 M"),
    ("CifarResNet32", 100): ("472.76 K", "70.38 M"),
    ("CifarSENet32", 10): ("480.35 K", "70.67 M"),
    ("CifarSENet32", 100): ("486.20 K", "70.68 M"),
    ("CifarResCNet32", 10): ("488.33 K", "70.68 M"),
    ("CifarResCNet32", 100): ("494.18 K", "70.68 M"),
    ("CifarResNet56", 10): ("855.77 K", "127.91 M"),
    ("CifarResNet56", 100): ("861.62 K", "127.92 M"),
    ("CifarSENet56", 10): ("879.96 K", "128.45 M"),
    ("CifarSENet56", 100): ("885.81 K", "128.46 M"),
    ("CifarResCNet56", 10): ("894.33 K", "128.47 M"),
    ("CifarResCNet56", 100): ("900.18 K", "128.47 M"),
    ("CifarResNet50", 10): ("23520.84 K", "1304.94 M"),
    ("CifarResNet50", 100): ("23705.25 K", "1308.84 M"),
    ("CifarSENet50", 10): ("26078.39 K", "1314.48 M"),
    ("CifarSENet50", 100): ("26262.80 K", "1321.98 M"),
    ("CifarResCNet50", 10): ("27324.41 K", "1316.25 M"),
    ("CifarResCNet50", 100): ("27508.82 K", "1316.43 M"),
    ("ResNet18", 1000): ("11.70 M", "1.81 G"),
    ("ResNet34", 1000): ("21.80 M", "3.66 G"),
    ("ResNet50", 1000): ("25.60 M", "4.09 G"),
    ("ResCNet18", 1000): ("11.82 M", "1.83 G"),
    ("ResCNet34", 1000): ("22.04 M", "3.68 G"),
    ("ResCNet50", 1000): ("29.36 M", "4.15 G"),
}


COUNTER = (
    "The paper's FLOPs are MACs plus the operations of normalizations, ReLUs, pooling and biases, "
    "as ptflops 0.7.2 counts them."
)


_UNSEEN = "wrong: the 100-class model with an activation that ptflops misses; like for like {}"


_SWAPPED = "wrong: the figure of 10 classes; like for like {}"


_MACS_ONLY = "FLOPs are MACs alone, unlike the ResCNet's; like for like {}"


_ROUNDED = "parameters are torchvision's rounded {}; "


NOTES = {
    ("CifarResNet50", 10): _UNSEEN.format("1308.84 M"),
    ("CifarResNet50", 100): _SWAPPED.format("1309.02 M"),
    ("CifarSENet50", 10): _UNSEEN.format("1321.98 M"),
    ("CifarSENet50", 100): _SWAPPED.format("1322.17 M"),
    ("ResNet18", 1000): _ROUNDED.format("11.7") + _MACS_ONLY.format("1.825 G"),
    ("ResNet34", 1000): _MACS_ONLY.format("3.680 G"),
    ("ResNet50", 1000): _ROUNDED.format("25.6") + _MACS_ONLY.format("4.132 G"),
}


COLUMNS = (
    "model",
    "classes",
    "input",
    "parameters",
    "MACs (M)",
    "attention (M)",
    "activations (MiB)",
    "paper: parameters",
    "paper: FLOPs",
    "note on the paper",
)


def builders():
    """Returns every builder that needs no argument, by name, in the order of the paper."""
    return {
        name: value
        for module in (
            resnet,
            resnet_cifar,
            preactivation,
            airbench,
            alexnet,
            vgg,
            vit,
            swin,
            cait,
        )
        for name, value in vars(module).items()
        if name in models.__all__ and callable(value) and _takes_nothing(value)
    }


def _takes_nothing(builder):
    parameters = inspect.signature(builder).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def describe(name, classes=None, input_size=None):
    """Returns the row of one builder, one value for each of `COLUMNS`.

    Args:
        name: Name of the builder.
        classes: Number of logits. Defaults to the builder's.
        input_size: Side of the images. Defaults to the builder's.
    """
    defaults = inspect.signature(builders()[name]).parameters
    shape, paper = defaults["input_shape"].default, ("", "")
    classes = classes or defaults["classes"].default
    note = ""
    if input_size in (None, shape[0]):
        paper, note = PAPER.get((name, classes), paper), NOTES.get((name, classes), note)
    else:
        shape = (input_size, input_size, shape[2])
    side = f"{shape[0]} x {shape[1]}"
    try:
        model = outline(builders()[name], classes=classes, input_shape=shape)
    except ValueError as error:
        return (name, classes, side, "", "", "", "", *paper, f"impossible: {error}")
    products, attention = multiplications(model)
    return (
        name,
        classes,
        side,
        count_parameters(model),
        round(products / 1e6, 3),
        round(attention / 1e6, 3),
        round(activation_bytes(model) / 2**20, 2),
        *paper,
        note,
    )
