"""Puts RC Layers into Keras's pretrained ResNet-50 and fine-tunes it with plain `fit`.

    python examples/calibrate_resnet50.py FOLDER

where FOLDER has a folder of pictures for each class. Keras downloads the weights of ImageNet.
The gates of the RC Layers are 0 at first: what ResNet-50 has learned is there from the first step.
"""

import sys
from functools import partial

import keras

import keras_rescnet as kr


def fine_tune(folder, weights="imagenet", size=224, epochs=5):
    """Returns the trained model."""
    train, validation = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), validation_split=0.2, subset="both", seed=0
    )
    resnet = keras.applications.ResNet50(
        weights=weights, include_top=False, pooling="avg", input_shape=(size, size, 3)
    )
    resnet = kr.calibrate(resnet, calibration=partial(kr.layers.RCLayer, gated=True))

    pixels = keras.Input((size, size, 3))
    x = resnet(keras.applications.resnet.preprocess_input(pixels))
    model = keras.Model(pixels, keras.layers.Dense(len(train.class_names))(x))
    model.compile(
        optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train, validation_data=validation, epochs=epochs)
    return model


if __name__ == "__main__":
    fine_tune(sys.argv[1]).save("calibrated_resnet50.keras")
