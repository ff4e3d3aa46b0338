"""Table 5 of the paper: ReLU, GELU and GCLU in seven networks on CIFAR-10 and CIFAR-100.

    python train.py --recipe recipes/table5.py:cifar10-vgg16-gclu

Cost and score: on two CPU cores, one run takes about 2.2 hours with ResNet-8 (1,279 images/s), 6.9
with ResNet-32 (404 images/s), 32 with VGG-16 (86.1 images/s) and 65 with ViT-Tiny (64.2 images/s);
3 of the 42 have been run at full length: ResNet-8 on CIFAR-100, in mixed_bfloat16 (`--set
precision=mixed_bfloat16`), seed 0, gave 59.95 % with ReLU (2.6 hours on one core beside other
work), 60.76 % with GELU (2.9 hours likewise) and 60.24 % with GCLU (1.7 hours on two cores).
ResNet-8 on CIFAR-10, for 30 epochs (`--set epochs=30`), seed 0, took 22 to 30 minutes beside other
work, and gave 85.23 % with ReLU, 85.37 % with GELU, 84.88 % with GCLU. AlexNet on CIFAR-100, for 30
epochs in mixed_bfloat16, seed 0, took 2.9 hours on one core beside other work, and gave 56.19 %
with ReLU and 56.27 % with GCLU.

Convolutional networks: the paper's 200 epochs of SGD from 0.1; weight decay comes from the scripts.
There is no script for AlexNet on CIFAR, and those for VGG-16 disagree on mixed precision, which is
not used here. As in the scripts, gradients are not clipped. VGG-16 with GCLU needs the warm-up for
that: without it, it diverges within ten steps; recipes/cifar10_gclu_vgg16.py is the same row with
clipping. Why AlexNet stays at chance with GELU is in recipes/alexnet_slopes.py.

Transformers: the paper does not say how they were trained. This file follows the scripts: AdamW
over 300 epochs, in mixed precision and with clipped gradients. Only the activation of the MLPs is
replaced. Swin-Tiny drops paths with probabilities up to 0.1, the others do not.
"""

from functools import partial

from keras_rescnet import Recipe, augment, gclu, gelu
from keras_rescnet.data import CIFAR10, CIFAR100
from keras_rescnet.models import (
    VGG16,
    AlexNet,
    CaiTXXS24,
    CifarResNet8,
    CifarResNet32,
    SwinTiny,
    ViTTiny,
)
from keras_rescnet.optimizers import SGD, AdamW


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


# src/classification/{seq_c100_train,DRC_train}.sh of github.com/tcmyxc/CV-Tutorial
convolutional = {
    "optimizer": partial(SGD, momentum=0.9, weight_decay=5e-4),
    "epochs": 200,
    "learning_rate": 0.1,
    "warmup_epochs": 5,
}
# src/classification/vit_train.sh and src/configs/vit_common.py of the same
transformer = {
    "optimizer": partial(AdamW, weight_decay=0.05),
    "epochs": 300,
    "learning_rate": 1.25e-4,
    "minimum_learning_rate": 1e-6,
    "warmup_epochs": 20,
    "global_clipnorm": 1.0,
    "precision": "mixed_float16",
}
models = {
    "alexnet": (AlexNet, convolutional),
    "vgg16": (VGG16, convolutional),
    "resnet8": (CifarResNet8, convolutional),
    "resnet32": (CifarResNet32, convolutional),
    "vit-tiny": (ViTTiny, transformer),
    "swin-tiny": (SwinTiny, transformer),
    "cait-xxs24": (CaiTXXS24, transformer),
}
datasets = {"cifar10": CIFAR10, "cifar100": CIFAR100}
activations = {"relu": "relu", "gelu": gelu, "gclu": gclu}
references = {  # the paper's top-1 accuracy in %: ReLU, GELU, GCLU
    "cifar10-alexnet": (85.85, 84.86, 86.98),
    "cifar10-vgg16": (93.86, 93.69, 94.15),
    "cifar10-resnet8": (88.14, 88.37, 88.38),
    "cifar10-resnet32": (93.72, 93.73, 93.24),
    "cifar10-vit-tiny": (82.37, 83.12, 82.61),
    "cifar10-swin-tiny": (85.93, 84.76, 85.71),
    "cifar10-cait-xxs24": (84.28, 84.14, 84.46),
    "cifar100-alexnet": (57.65, 1.23, 62.33),
    "cifar100-vgg16": (73.21, 72.47, 74.13),
    "cifar100-resnet8": (60.73, 60.61, 60.82),
    "cifar100-resnet32": (71.91, 71.87, 71.75),
    "cifar100-vit-tiny": (55.59, 57.81, 56.63),
    "cifar100-swin-tiny": (59.54, 57.25, 58.92),
    "cifar100-cait-xxs24": (59.16, 59.77, 59.67),
}
recipes = {
    f"{data}-{name}-{act}": Recipe(
        dataset=dataset,
        augment=transforms,
        model=partial(model, activation=activation),
        batch_size=128,
        **settings,
        reference=reference,
    )
    for name, (model, settings) in models.items()
    for data, dataset in datasets.items()
    for (act, activation), reference in zip(
        activations.items(), references[f"{data}-{name}"], strict=True
    )
}
columns = {
    "CIFAR-10, ReLU": "cifar10-*-relu",
    "CIFAR-10, GELU": "cifar10-*-gelu",
    "CIFAR-10, GCLU": "cifar10-*-gclu",
    "CIFAR-100, ReLU": "cifar100-*-relu",
    "CIFAR-100, GELU": "cifar100-*-gelu",
    "CIFAR-100, GCLU": "cifar100-*-gclu",
}
