"""Puts RC Layers into Keras's pretrained ResNet-50, and fine-tunes its end on your own pictures.

    python train.py --recipe examples/fine_tune_recipe.py --data_dir FOLDER

where FOLDER has a folder of pictures for each class. Keras downloads the weights of ImageNet.
"""

import dataclasses
from functools import partial

import keras

import keras_rescnet as kr

# What Keras's weights expect: pixels from 0 to 255 less ImageNet's mean, and blue first
PICTURES = dataclasses.replace(
    kr.data.image_folder(size=224, validation_share=0.2),
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)


def network(input_shape, classes, weights="imagenet"):
    """Returns ResNet-50 with a head for `classes`; the gates of its RC Layers are 0 at first."""
    blue_first = keras.Input(input_shape)[..., ::-1]
    resnet = keras.applications.ResNet50(False, weights, input_tensor=blue_first, pooling="avg")
    resnet = kr.calibrate(resnet, calibration=partial(kr.layers.RCLayer, gated=True))
    head = keras.layers.Dense(classes, dtype="float32", name="logits")
    return keras.Model(resnet.inputs[0], head(resnet.output))


recipe = kr.Recipe(
    dataset=PICTURES,
    augment=lambda: [kr.augment.RandomResizedCrop(224), kr.augment.RandomFlip()],
    model=network,
    trainable=("^conv5_", "calibration/", "^logits/"),  # the rest keeps its batch statistics, too
    optimizer=partial(kr.optimizers.SGD, momentum=0.9, weight_decay=1e-4),
    **{"batch_size": 32, "epochs": 10, "learning_rate": 0.01, "warmup_epochs": 1},
)
