"""Table 2 of the paper: residual networks with and without calibration on ImageNet.

    python train.py --recipe recipes/table2.py:imagenet-rescnet18

Cost and score: docs/imagenet.md projects the time; none of the 7 has been run at full length.

90 epochs of SGD. The learning rate falls by a factor of 10 every 30 epochs after the 5 of warm-up:
at epochs 35 and 65, as the authors' scheduler counts them, not at 30 and 60. Weight decay 1e-4 and
mixed precision come from the scripts; the paper does not mention them. The paper quotes SENet-50
from elsewhere; here it has the recipe of the others. The authors split the batches of the 50-layer
networks over two GPUs (`--devices 2`).
"""

from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import IMAGENET
from keras_rescnet.models import (
    ResCNet18,
    ResCNet34,
    ResCNet50,
    ResNet18,
    ResNet34,
    ResNet50,
    SENet50,
)
from keras_rescnet.optimizers import SGD
from keras_rescnet.schedules import step_decay


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomResizedCrop(224), augment.RandomFlip()]


models = {  # with the paper's top-1 and top-5 accuracy in %
    "resnet18": (ResNet18, 70.098, 89.26),
    "rescnet18": (ResCNet18, 70.354, 89.586),
    "resnet34": (ResNet34, 73.486, 91.526),
    "rescnet34": (ResCNet34, 73.816, 91.546),
    "resnet50": (ResNet50, 76.2, 92.886),
    "senet50": (SENet50, 76.71, 93.38),
    "rescnet50": (ResCNet50, 76.92, 93.298),
}
recipes = {
    f"imagenet-{name}": Recipe(
        dataset=IMAGENET,
        augment=transforms,
        model=model,
        # src/imagenet_classification/train.py of github.com/tcmyxc/CV-Tutorial
        optimizer=partial(SGD, momentum=0.9, weight_decay=1e-4),
        batch_size=256,
        epochs=90,
        learning_rate=0.1,
        warmup_epochs=5,
        decay=partial(step_decay, every=30),
        precision="mixed_float16",
        reference=top1,
        reference_top5=top5,
    )
    for name, (model, top1, top5) in models.items()
}
columns = {"ImageNet": "imagenet-*"}
