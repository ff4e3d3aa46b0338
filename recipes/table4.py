"""Table 4 of the paper: five forms of the RC Layer in ResCNet-32 on CIFAR-100.

    python train.py --recipe recipes/table4.py:cifar100-rescnet32-r2

Cost and score: about 9.6 hours each on two CPU cores (289 images/s); none of the 5 has been run at
full length.

Without a hidden layer (`two-fc`), with one of a half or a quarter of the channels (`r2`, `r4`), and
with an activation on the latter. The paper does not say where the activation is; the history of the
authors' code has it on the hidden layer. `r4` is Table 1's ResCNet-32.
"""

from functools import partial

from keras.initializers import RandomNormal

from keras_rescnet import Recipe, augment
from keras_rescnet.data import CIFAR100
from keras_rescnet.layers import RCLayer
from keras_rescnet.models import CifarResCNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


# as in CifarResCNet32: src/models/sehgelu_resnet_v4.py of github.com/tcmyxc/ResCNet
small = {"kernel_initializer": RandomNormal(stddev=0.01), "bias_initializer": "zeros"}
forms = {
    "two-fc": partial(RCLayer, reduction=None, **small),
    "r2": partial(RCLayer, reduction=2, **small),
    "r4": partial(RCLayer, reduction=4, **small),
    "r4-relu": partial(RCLayer, reduction=4, hidden_activation="relu", **small),
    "r4-sigmoid": partial(RCLayer, reduction=4, hidden_activation="sigmoid", **small),
}
references = {  # the paper's top-1 and top-5 accuracy in %
    "two-fc": (72.76, 92.67),
    "r2": (72.21, 92.54),
    "r4": (72.76, 92.54),
    "r4-relu": (72.36, 91.96),
    "r4-sigmoid": (72.38, 92.62),
}
recipes = {
    f"cifar100-rescnet32-{name}": Recipe(
        dataset=CIFAR100,
        augment=transforms,
        model=partial(CifarResCNet32, calibration=form),
        # src/classification/seq_c100_train.sh of github.com/tcmyxc/CV-Tutorial
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=200,
        learning_rate=0.1,
        warmup_epochs=5,
        reference=references[name][0],
        reference_top5=references[name][1],
    )
    for name, form in forms.items()
}
columns = {"CIFAR-100": "cifar100-rescnet32-*"}
