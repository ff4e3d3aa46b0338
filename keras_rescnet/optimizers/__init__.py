"""SGD and AdamW with PyTorch's arithmetic, and Muon.

Keras's own optimizers differ where it shows in a long run: its SGD keeps the learning rate inside
the velocity and decays weights outside of the gradient, its AdamW places epsilon elsewhere.

`cosine_decay` and `step_decay` are those of `kr.schedules`, where `linear_decay` is too; older
recipes import the two from here.
"""

from keras_rescnet.optimizers.adamw import AdamW
from keras_rescnet.optimizers.muon import Muon
from keras_rescnet.optimizers.sgd import SGD
from keras_rescnet.schedules import cosine_decay, step_decay

__all__ = ["SGD", "AdamW", "Muon", "cosine_decay", "step_decay"]

for _class in (SGD, AdamW):  # descriptions of recipes, and so their digests, have these names
    _class.__module__ = __name__
