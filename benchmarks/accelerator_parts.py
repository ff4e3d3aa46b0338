"""What `accelerator.py` measures: functions that yield what is known so far, a dict at a time."""

import functools
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "keras", "tensorflow", "tensorflow-cpu", "torch", "torchvision", "numpy")
PRECISIONS = ("float32", "bfloat16")
NETWORKS = {  # builder here, classes, side of the pictures
    "ResNet-32": ("CifarResNet32", 10, 32),
    "ResCNet-32": ("CifarResCNet32", 10, 32),
    "VGG-16": ("VGG16", 10, 32),
    "ResNet-50": ("ResNet50", 1000, 224),
    "ViT-Tiny": ("ViTTiny", 10, 32),
}
ROWS = {  # builder and activation
    **{
        f"table5.py:{data}-resnet8-{name}": ("CifarResNet8", name)
        for data in ("cifar10", "cifar100")
        for name in ("relu", "gelu", "gclu")
    },
    "table1.py:cifar10-resnet32": ("CifarResNet32", "relu"),
    "table1.py:cifar10-rescnet32": ("CifarResCNet32", "relu"),
    "table1.py:cifar10-senet32": ("CifarSENet32", "relu"),
    "table1.py:cifar100-resnet32": ("CifarResNet32", "relu"),
    "table1.py:cifar100-rescnet32": ("CifarResCNet32", "relu"),
}
# Tensors read and written by value and gradient, as in activations.py; but the RC Layer's gradient
# is a function of its own here, and reads once more, for the mean
MOVES = {"ReLU": 5, "GELU": 5, "GCLU": 5, "RC Layer": 9}


def machine(_):
    """What this is measured on."""
    import jax

    from keras_rescnet.training.environment import processor, versions

    devices = [f"{device.device_kind} ({device.platform})" for device in jax.devices()]
    yield {"devices": devices, "processor": processor(), "versions": versions(PACKAGES)}


def layers(arguments, precision):
    """Activations and the RC Layer against a copy of the bytes that they must move."""
    import jax
    import keras

    import keras_rescnet as kr

    shape = (4, 8, 8, 16) if arguments.small else (1024, 32, 32, 64)
    x, upstream = (
        jax.random.normal(jax.random.key(seed), shape, dtype=precision) for seed in (0, 1)
    )
    calibration = kr.layers.RCLayer(dtype=precision)
    calibration.build(shape)
    functions = {
        "ReLU": jax.nn.relu,
        "GELU": lambda x: keras.activations.gelu(x, approximate=False),
        "GCLU": kr.gclu,
        "RC Layer": calibration,
    }
    copy = median_seconds(arguments, jax.jit(lambda x: x + 1), x)
    moved = 2 * x.size * x.dtype.itemsize
    figures = {"copy, GB/s": moved / copy / 1e9}
    for name, function in functions.items():
        back = jax.jit(lambda x, g, function=function: jax.vjp(function, x)[1](g)[0])
        seconds = median_seconds(arguments, jax.jit(function), x)
        seconds += median_seconds(arguments, back, x, upstream)
        figures[f"{name}, ms"] = 1e3 * seconds
        figures[f"{name} / limit"] = seconds / (MOVES[name] / 2 * copy)
        yield figures


def median_seconds(arguments, function, *values):
    """Returns the median time of a jitted function, of several calls at a time."""
    import jax

    calls = 2 if arguments.small else 20
    jax.block_until_ready(function(*values))
    times = []
    for _ in range(3 if arguments.small else 7):
        start = time.perf_counter()
        jax.block_until_ready([function(*values) for _ in range(calls)])
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def noise_for(arguments, network):
    """Returns the batch size, and pictures and labels of noise."""
    import numpy as np

    _, classes, side = NETWORKS[network]
    batch = 2 if arguments.small else arguments.batch
    side = 32 if arguments.small else side
    draw = np.random.default_rng(0)
    images = draw.normal(size=(batch, side, side, 3)).astype("float32")
    return images, draw.integers(0, classes, batch)


def rates(arguments, step, finish, batch):
    """Yields the median of images/s over rounds of steps.

    Args:
        arguments: The command line.
        step: Makes a step.
        finish: Waits for all steps.
        batch: Images per step.
    """
    start = time.perf_counter()
    step()
    finish()
    compiled = time.perf_counter() - start
    steps, rounds = (1, 2) if arguments.small else (20, 7)
    for _ in range(steps):
        step()
    finish()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        finish()
        found.append(batch * steps / (time.perf_counter() - start))
    yield {"images/s": statistics.median(found), "batch": batch, "first step, s": compiled}


def keras_step(arguments, network, precision):
    """Training steps of a network in Keras on JAX."""
    import jax
    import keras
    from resident import train_step

    import keras_rescnet as kr

    images, labels = map(jax.device_put, noise_for(arguments, network))
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    builder, classes, _ = NETWORKS[network]
    model = getattr(kr.models, builder)(input_shape=images.shape[1:], classes=classes)
    optimizer = kr.optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    optimizer.build(model.trainable_variables)
    groups = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    state = tuple([variable.value for variable in group] for group in groups)
    compiled = jax.jit(functools.partial(train_step, model, optimizer), donate_argnums=0)

    def step():
        nonlocal state
        state, _ = compiled(state, images, labels)

    yield from rates(arguments, step, lambda: jax.block_until_ready(state), len(labels))


def torch_step(arguments, network, precision):
    """Training steps of the same network in PyTorch, channels last, compiled."""
    import torch
    from torch_models import RCLayer, ViT, cifar_resnet, vgg16

    if network == "ResNet-50":
        from torchvision.models import resnet50
    builds = {
        "ResNet-32": lambda: cifar_resnet(5),
        "ResCNet-32": lambda: cifar_resnet(5, calibration=RCLayer),
        "VGG-16": vgg16,
        "ResNet-50": lambda: resnet50(),
        "ViT-Tiny": ViT,
    }
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # as JAX does
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = (torch.from_numpy(array).to(device) for array in noise_for(arguments, network))
    images = images.permute(0, 3, 1, 2)  # its memory is channels last
    model = builds[network]().to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    compiled = torch.compile(model)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = torch.nn.functional.cross_entropy(compiled(images), labels)
        loss.backward()
        optimizer.step()

    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    yield from rates(arguments, step, finish, len(labels))


def resident(arguments, builder, activation, precision, epochs, dataset="cifar10"):
    """Training with all pictures in the memory of the device."""
    from resident import noise, read, train

    import keras_rescnet as kr

    files = [file for file in arguments.data if pathlib.Path(file).stem == dataset]
    if not files and not arguments.small:
        raise SystemExit(f"needs --data {dataset}.npz")
    data = noise() if arguments.small else read(files[0])
    activation = {"gclu": kr.gclu, "gelu": kr.gelu}.get(activation, activation)
    build = functools.partial(getattr(kr.models, builder), activation=activation)
    policy = "mixed_bfloat16" if precision == "bfloat16" else precision
    settings = {"epochs": 2, "batch": 16} if arguments.small else {"epochs": epochs, "batch": 128}
    best = 0.0
    for row in train(build, data, precision=policy, **settings):
        best = max(best, row["test_accuracy"])
        yield {**row, "best_test_accuracy": best, "epochs": settings["epochs"]}


def trained(arguments, recipe):
    """A run of `train.py`, which continues where it was stopped."""
    folder = pathlib.Path(arguments.records).resolve()
    workdir = folder / "runs" / recipe.replace(".py:", "-").removesuffix(".py")
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--recipe", f"recipes/{recipe}", "--workdir", workdir, "--record", folder]
    words += ["--data_dir", pathlib.Path(arguments.data_dir).resolve()]
    done = subprocess.run(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise SystemExit(f"train.py: {lines[-1] if lines else done.returncode}")
    yield json.loads((workdir / "results.json").read_text()) | {
        "seconds": json.loads((workdir / "run.json").read_text())["seconds"]
    }


def trains(arguments):
    """Returns whether `train.py` can read its data."""
    packages = ("tensorflow", "tensorflow_datasets")
    found = all(importlib.util.find_spec(package) is not None for package in packages)
    return found and arguments.data_dir is not None and not arguments.small


def row(arguments, name):
    """A row of the paper's tables at full length."""
    if trains(arguments):
        yield from trained(arguments, name)
    else:
        dataset = name.partition(":")[2].partition("-")[0]
        yield from resident(arguments, *ROWS[name], "float32", 200, dataset)


def fast(arguments, name):
    """The recipe that is to reach 94 % on CIFAR-10 in the shortest time."""
    if not trains(arguments):
        raise SystemExit("needs tensorflow, tensorflow-datasets and --data_dir, without --small")
    yield from trained(arguments, f"cifar10_fast.py:{name}")


def parts():
    """Returns all parts by name: a function and its arguments."""
    found = {"machine": (machine,)}
    found |= {f"layers/{precision}": (layers, precision) for precision in PRECISIONS}
    for network in NETWORKS:
        for precision in PRECISIONS:
            for framework, function in (("keras", keras_step), ("torch", torch_step)):
                name = f"step/{network}/{precision}/{framework}"
                found[name] = (function, network, precision)
    for precision in PRECISIONS:
        name = f"resident/ResNet-8 + GCLU/{precision}"
        found[name] = (resident, "CifarResNet8", "gclu", precision, 5)
    found |= {f"fast/{name}": (fast, name) for name in ("gclu", "gelu", "relu", "gelu-rc")}
    return found | {f"row/{name}": (row, name) for name in ROWS}
