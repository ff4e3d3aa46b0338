"""Callbacks of `kr.train`: what is called after every epoch, and may end the run.

A recipe's `callbacks` makes them. `EarlyStopping` ends a run, `MLflowLogger` and `WandbLogger`
send its log to MLflow and to Weights & Biases, and a class derived from `Callback` does what you
write. They are part of the run: one that is stopped and continues has the callbacks of a run that
nothing had stopped.
"""

from keras_rescnet.callbacks.callback import Callback
from keras_rescnet.callbacks.early_stopping import EarlyStopping
from keras_rescnet.callbacks.mlflow_logger import MLflowLogger
from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.callbacks.wandb_logger import WandbLogger

__all__ = ["Callback", "EarlyStopping", "MLflowLogger", "RunFacts", "WandbLogger"]
