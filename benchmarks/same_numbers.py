"""Whether another revision of this package trains to the same weights, bit for bit.

    python benchmarks/same_numbers.py REVISION [digits resnet8 rescnet32 vit]

Checks the revision out aside, trains the same recipes there and here, each in a process of its
own with as many threads, and compares all weights: the digits over 3 epochs, and three networks
over 20 steps on noise. Ends with 1 if any differ. Bits depend on the kind of CPU and on the number
of threads, so both are trained anew, on this machine.
"""

import argparse
import dataclasses
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[1]
STEPS, BATCH = 20, 16


def noise(dataset, split, data_dir=None):
    """Returns pictures of noise, as many as the steps take."""
    import keras_rescnet as kr

    count = STEPS * BATCH if split == "train" else BATCH
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *dataset.image_shape), "uint8")
    labels = generator.integers(0, dataset.classes, count)
    return kr.data.ArrayExamples(dataset, images, labels, dataset.class_names)


def recipes():
    """Returns what is trained, by name."""
    from functools import partial

    import keras_rescnet as kr

    digits = kr.load_recipe(
        "recipes/digits_gclu_resnet8.py", ["epochs=3", "warmup_epochs=1", "seed=0"]
    )
    small = dataclasses.replace(
        digits,
        dataset=dataclasses.replace(digits.dataset, read=noise),
        epochs=1,
        warmup_epochs=0,
        batch_size=BATCH,
        steps_per_epoch=STEPS,
    )
    adamw = partial(kr.optimizers.AdamW, weight_decay=0.05)
    return {
        "digits": digits,
        "resnet8": dataclasses.replace(
            small, model=partial(kr.models.CifarResNet8, activation=kr.gclu)
        ),
        "rescnet32": dataclasses.replace(small, model=kr.models.CifarResCNet32),
        "vit": dataclasses.replace(
            small, model=kr.models.ViTTiny, optimizer=adamw, learning_rate=1e-3
        ),
    }


def train(names, folder):
    """Trains with the package in the current folder; leaves `NAME.npz` of every recipe."""
    sys.path.insert(0, os.getcwd())
    import keras

    import keras_rescnet as kr

    assert pathlib.Path(kr.__file__).is_relative_to(os.getcwd()), kr.__file__  # noqa: S101
    for name, recipe in recipes().items():
        if name in names:
            kr.train(recipe, f"{folder}/{name}")
            model = keras.models.load_model(f"{folder}/{name}/model.keras")
            arrays = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}
            np.savez(f"{folder}/{name}.npz", **arrays)


def check_out(revision, folder):
    """Writes the files of a revision into a folder."""
    command = ["git", "archive", "--format=tar", revision]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def differences(ours, theirs):
    """Returns what differs between two files of arrays, in words; nothing if they are equal."""
    with np.load(ours) as one, np.load(theirs) as other:
        if sorted(one) != sorted(other):
            return [f"the weights {sorted(set(one) ^ set(other))} are on one side only"]
        return [
            f"{path} by up to {np.max(np.abs(one[path].astype(float) - other[path])):.3g}"
            for path in one
            if one[path].tobytes() != other[path].tobytes()
        ]


def main():
    """Trains twice and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="a git revision, such as HEAD~3")
    parser.add_argument("names", nargs="*", help="some of the recipes; all by default")
    parser.add_argument("--train", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.names or ["digits", "resnet8", "rescnet32", "vit"]
    if arguments.train:
        return train(names, arguments.train)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        trees = {"theirs": folder / "tree", "ours": ROOT}
        check_out(arguments.revision, trees["theirs"])
        for side, tree in trees.items():
            (folder / side).mkdir()
            command = [sys.executable, HERE, arguments.revision, *names, "--train", folder / side]
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            subprocess.run(
                command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL
            )
        differ = False
        for name in names:
            found = differences(folder / "ours" / f"{name}.npz", folder / "theirs" / f"{name}.npz")
            differ |= bool(found)
            print(f"{name}: {'; '.join(found[:3]) or 'equal to the last bit'}", flush=True)
    raise SystemExit(int(differ))


if __name__ == "__main__":
    main()
