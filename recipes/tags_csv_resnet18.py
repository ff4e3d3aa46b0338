"""ResNet-18 on pictures with several tags each, which a CSV file names: path, tags, split.

    python train.py --recipe recipes/tags_csv_resnet18.py --data_dir ~/shoes

Cost and score: those of your pictures; not run.

`~/shoes/pictures.csv` begins `path,tags,split`; a line of it reads `images/17.jpg,red|sandal,train`
or `images/18.jpg,,test`, of a picture without tags. Paths start from the folder of the file. Tags,
mean and standard deviation are computed from them. It is not in the paper.

The results have a threshold for every tag, which `predict` and the SavedModel use. A tag that few
pictures have is found more often with `class_weights={"sandal": 5.0}`.
"""

from functools import partial

from keras_rescnet import Recipe, augment, losses
from keras_rescnet.data import image_table
from keras_rescnet.models import ResNet18
from keras_rescnet.optimizers import AdamW


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomResizedCrop(224), augment.RandomFlip()]


recipe = Recipe(
    dataset=image_table("pictures.csv", size=224),
    augment=transforms,
    model=ResNet18,
    loss=losses.binary_crossentropy,
    optimizer=partial(AdamW, weight_decay=0.05),
    batch_size=64,
    epochs=60,
    learning_rate=1e-3,
    warmup_epochs=5,
)
