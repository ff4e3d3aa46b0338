"""ResCNet-18 on a folder of your own pictures: train/<class>/*, val/<class>/*.

    python train.py --recipe recipes/imagefolder_rescnet18.py --data_dir ~/pictures

Cost and score: those of your pictures; not run.

Classes, mean and standard deviation are computed from the folder. The recipe is a shorter form of
the paper's for ImageNet. For pictures smaller than 224 pixels, use `size=96` in both places.
"""

from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import image_folder
from keras_rescnet.models import ResCNet18
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomResizedCrop(224), augment.RandomFlip()]


recipe = Recipe(
    dataset=image_folder(size=224),
    augment=transforms,
    model=ResCNet18,
    optimizer=partial(SGD, momentum=0.9, weight_decay=1e-4),
    batch_size=64,
    epochs=90,
    learning_rate=0.025,
    warmup_epochs=5,
)
