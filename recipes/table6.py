"""Table 6 of the paper: three forms of GCLU in ResNet-32.

    python train.py --recipe recipes/table6.py:cifar10-resnet32-gclu-tanh

Cost and score: somewhat more than the 6.9 hours of ResNet-32 with ReLU on two CPU cores (404
images/s); none of the 6 has been run at full length.

With the Gaussian distribution function, a sigmoid (Eq. 7) and a hyperbolic tangent (Eq. 8). The
first is Table 5's ResNet-32 with GCLU. The paper also reports times; benchmarks/activations.py
measures those of the activations alone.
"""

from functools import partial

from keras_rescnet import Recipe, augment, gclu, gclu_sigmoid, gclu_tanh
from keras_rescnet.data import CIFAR10, CIFAR100
from keras_rescnet.models import CifarResNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


datasets = {"cifar10": CIFAR10, "cifar100": CIFAR100}
activations = {"gclu-exact": gclu, "gclu-sigmoid": gclu_sigmoid, "gclu-tanh": gclu_tanh}
references = {  # the paper's top-1 accuracy in %, and its hours of training
    "cifar10-gclu-exact": (93.24, 2.73),
    "cifar10-gclu-sigmoid": (93.35, 2.43),
    "cifar10-gclu-tanh": (93.57, 2.67),
    "cifar100-gclu-exact": (71.75, 2.9),
    "cifar100-gclu-sigmoid": (72.32, 2.4),
    "cifar100-gclu-tanh": (71.67, 2.73),
}
recipes = {
    f"{data}-resnet32-{name}": Recipe(
        dataset=dataset,
        augment=transforms,
        model=partial(CifarResNet32, activation=activation),
        # src/classification/seq_c100_train.sh of github.com/tcmyxc/CV-Tutorial
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=200,
        learning_rate=0.1,
        warmup_epochs=5,
        reference=references[f"{data}-{name}"][0],
        reference_hours=references[f"{data}-{name}"][1],
    )
    for name, activation in activations.items()
    for data, dataset in datasets.items()
}
columns = {"CIFAR-10": "cifar10-resnet32-*", "CIFAR-100": "cifar100-resnet32-*"}
