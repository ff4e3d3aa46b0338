"""Trains a recipe: `python train.py --recipe FILE`. `python train.py --help` explains all of it."""

import sys

from keras_rescnet.training.__main__ import main

if __name__ == "__main__":
    main(sys.argv)
