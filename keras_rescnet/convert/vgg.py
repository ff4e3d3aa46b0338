"""Names of VGG-16 with batch normalization and of AlexNet, which count their modules."""

from keras_rescnet.convert.naming import naming


def _features(depths):
    names = {}
    index = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            names[f"stage{stage}_{i}_conv"] = f"features.{index}"
            names[f"stage{stage}_{i}_bn"] = f"features.{index + 1}"
            index += 3  # convolution, normalization, activation
        index += 1  # pooling
    return names


_VGG16 = _features((2, 2, 3, 3, 3))
_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc1": "classifier.1",
    "fc2": "classifier.4",
    "logits": "classifier.6",
}

NAMINGS = (
    naming(_VGG16 | {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}),
    naming(_ALEXNET),
    # timm, whose dense layers are convolutions
    naming(_VGG16 | {"fc1": "pre_logits.fc1", "fc2": "pre_logits.fc2", "logits": "head.fc"}),
)
