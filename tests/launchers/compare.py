"""Compares the weights that two runs have saved: `python compare.py RUN OTHER [TOLERANCE]`."""

import sys

import keras
import numpy as np

import keras_rescnet  # registers what the models are made of

if __name__ == "__main__":
    ours, theirs, tolerance = *sys.argv[1:3], float((*sys.argv[3:], 0)[0])
    assert keras_rescnet.layers.GCLU
    pairs = zip(*(keras.models.load_model(f"{run}/model.keras").weights for run in (ours, theirs)),
                strict=True)  # fmt: skip
    largest = max(
        float(np.max(np.abs(np.asarray(one) - np.asarray(other)) / (1 + np.abs(np.asarray(other)))))
        for one, other in pairs
    )
    print(f"{ours} and {theirs}: largest difference of weights {largest:.2g}")
    sys.exit(largest > tolerance)
