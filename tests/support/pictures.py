"""Pictures and folders of them, for the tests of what is read from files."""

import numpy as np
from PIL import Image

SIZE = 28


def picture(seed=0, height=60, width=80):
    """A smooth colourful picture, which JPEG changes little."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3)).astype("uint8")
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write(folder, classes=("cat", "dog"), train=6, val=3):
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                image = picture(100 * label + i, 60 + i, 80)
                image.save(folder / split / name / f"{i}.jpg", quality=95)
    return folder


def crop_middle(image, size=SIZE):
    """torchvision's Resize(size / 224 * 256) and CenterCrop(size) on a Pillow image."""
    short = round(size * 256 / 224)
    width, height = image.size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
