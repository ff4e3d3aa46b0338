"""Table 1 of the paper: residual networks with and without calibration on small images.

    python train.py --recipe recipes/table1.py:cifar100-rescnet32

Cost and score: on two CPU cores, one run on CIFAR takes about 6.9 hours with ResNet-32 (404
images/s), 9.6 with ResCNet-32 (289 images/s), 141 with ResNet-50 (19.6 images/s) and 160 with
ResCNet-50 (17.3 images/s); none of the 27 has been run at full length.

The paper says 200 epochs of SGD, 5 of them warm-up, 128 images per batch, cosine decay from 0.1.
Where the authors' scripts differ, this file follows the scripts: SVHN starts from 0.01, without
augmentation and without the extra pictures that the paper mentions. Two things are not followed:
batches split over two to four GPUs with batch normalization on each, where the paper says 128, and
the mixed precision that only some scripts of the 50-layer networks use.
"""

from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import CIFAR10, CIFAR100, SVHN
from keras_rescnet.models import (
    CifarResCNet32,
    CifarResCNet50,
    CifarResCNet56,
    CifarResNet32,
    CifarResNet50,
    CifarResNet56,
    CifarSENet32,
    CifarSENet50,
    CifarSENet56,
)
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


models = {
    "resnet32": CifarResNet32,
    "senet32": CifarSENet32,
    "rescnet32": CifarResCNet32,
    "resnet56": CifarResNet56,
    "senet56": CifarSENet56,
    "rescnet56": CifarResCNet56,
    "resnet50": CifarResNet50,
    "senet50": CifarSENet50,
    "rescnet50": CifarResCNet50,
}
# src/classification/{seq_c100_train,act_train}.sh of github.com/tcmyxc/CV-Tutorial
datasets = {
    "cifar10": {"dataset": CIFAR10, "augment": transforms, "learning_rate": 0.1},
    "cifar100": {"dataset": CIFAR100, "augment": transforms, "learning_rate": 0.1},
    "svhn": {"dataset": SVHN, "augment": None, "learning_rate": 0.01},
}
references = {  # the paper's top-1 accuracy in %: CIFAR-10, CIFAR-100, SVHN
    "resnet32": (93.72, 71.91, 95.82),
    "senet32": (93.73, 72.26, 95.77),
    "rescnet32": (93.79, 72.76, 95.87),
    "resnet56": (94.51, 73.79, 96.00),
    "senet56": (94.51, 74.68, 95.88),
    "rescnet56": (94.61, 73.81, 96.10),
    "resnet50": (95.81, 80.79, 96.29),
    "senet50": (95.75, 80.68, 96.26),
    "rescnet50": (95.83, 80.87, 96.31),
}
recipes = {
    f"{data}-{name}": Recipe(
        **settings,
        model=model,
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=200,
        warmup_epochs=5,
        reference=reference,
    )
    for name, model in models.items()
    for (data, settings), reference in zip(datasets.items(), references[name], strict=True)
}
columns = {"CIFAR-10": "cifar10-*", "CIFAR-100": "cifar100-*", "SVHN": "svhn-*"}
