"""The policies AutoAugment found, and what their magnitudes mean.

Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data" (CVPR 2019), tables 7 to
9 of its appendix, as github.com/DeepVoltaire/AutoAugment and the paper's own code write them.
"""

import numpy as np

from keras_rescnet.augment.pillow import (
    autocontrast,
    brightness,
    color,
    contrast,
    equalize,
    invert,
    posterize,
    rotate,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    translate_x,
    translate_y,
)

# What each operation is given at magnitude 0, 1, ..., 9, for a negative and a positive sign.
SHEAR, TRANSLATION, ROTATION = (
    np.outer([-1, 1], np.linspace(0, most, 10)) for most in (0.3, 150 / 331, 30)
)
ENHANCEMENT = 1 + np.outer([-1, 1], np.linspace(0, 0.9, 10))
BITS = np.tile(np.round(np.linspace(8, 4, 10)), (2, 1))
THRESHOLD = np.tile(np.linspace(256, 0, 10), (2, 1))
MAGNITUDES = {
    shear_x: SHEAR,
    shear_y: SHEAR,
    translate_x: TRANSLATION,
    translate_y: TRANSLATION,
    rotate: ROTATION,
    color: ENHANCEMENT,
    contrast: ENHANCEMENT,
    brightness: ENHANCEMENT,
    sharpness: ENHANCEMENT,
    posterize: BITS,
    solarize: THRESHOLD,
    autocontrast: None,
    equalize: None,
    invert: None,
}

# A sub-policy: probability, operation and magnitude of its first and of its second step.
CIFAR10 = (
    (0.1, invert, 7, 0.2, contrast, 6),
    (0.7, rotate, 2, 0.3, translate_x, 9),
    (0.8, sharpness, 1, 0.9, sharpness, 3),
    (0.5, shear_y, 8, 0.7, translate_y, 9),
    (0.5, autocontrast, 8, 0.9, equalize, 2),
    (0.2, shear_y, 7, 0.3, posterize, 7),
    (0.4, color, 3, 0.6, brightness, 7),
    (0.3, sharpness, 9, 0.7, brightness, 9),
    (0.6, equalize, 5, 0.5, equalize, 1),
    (0.6, contrast, 7, 0.6, sharpness, 5),
    (0.7, color, 7, 0.5, translate_x, 8),
    (0.3, equalize, 7, 0.4, autocontrast, 8),
    (0.4, translate_y, 3, 0.2, sharpness, 6),
    (0.9, brightness, 6, 0.2, color, 8),
    (0.5, solarize, 2, 0.0, invert, 3),
    (0.2, equalize, 0, 0.6, autocontrast, 0),
    (0.2, equalize, 8, 0.6, equalize, 4),
    (0.9, color, 9, 0.6, equalize, 6),
    (0.8, autocontrast, 4, 0.2, solarize, 8),
    (0.1, brightness, 3, 0.7, color, 0),
    (0.4, solarize, 5, 0.9, autocontrast, 3),
    (0.9, translate_y, 9, 0.7, translate_y, 9),
    (0.9, autocontrast, 2, 0.8, solarize, 3),
    (0.8, equalize, 8, 0.1, invert, 3),
    (0.7, translate_y, 9, 0.9, autocontrast, 1),
)
SVHN = (
    (0.9, shear_x, 4, 0.2, invert, 3),
    (0.9, shear_y, 8, 0.7, invert, 5),
    (0.6, equalize, 5, 0.6, solarize, 6),
    (0.9, invert, 3, 0.6, equalize, 3),
    (0.6, equalize, 1, 0.9, rotate, 3),
    (0.9, shear_x, 4, 0.8, autocontrast, 3),
    (0.9, shear_y, 8, 0.4, invert, 5),
    (0.9, shear_y, 5, 0.2, solarize, 6),
    (0.9, invert, 6, 0.8, autocontrast, 1),
    (0.6, equalize, 3, 0.9, rotate, 3),
    (0.9, shear_x, 4, 0.3, solarize, 3),
    (0.8, shear_y, 8, 0.7, invert, 4),
    (0.9, equalize, 5, 0.6, translate_y, 6),
    (0.9, invert, 4, 0.6, equalize, 7),
    (0.3, contrast, 3, 0.8, rotate, 4),
    (0.8, invert, 5, 0.0, translate_y, 2),
    (0.7, shear_y, 6, 0.4, solarize, 8),
    (0.6, invert, 4, 0.8, rotate, 4),
    (0.3, shear_y, 7, 0.9, translate_x, 3),
    (0.1, shear_x, 6, 0.6, invert, 5),
    (0.7, solarize, 2, 0.6, translate_y, 7),
    (0.8, shear_y, 4, 0.8, invert, 8),
    (0.7, shear_x, 9, 0.8, translate_y, 3),
    (0.8, shear_y, 5, 0.7, autocontrast, 3),
    (0.7, shear_x, 2, 0.1, invert, 5),
)
IMAGENET = (
    (0.4, posterize, 8, 0.6, rotate, 9),
    (0.6, solarize, 5, 0.6, autocontrast, 5),
    (0.8, equalize, 8, 0.6, equalize, 3),
    (0.6, posterize, 7, 0.6, posterize, 6),
    (0.4, equalize, 7, 0.2, solarize, 4),
    (0.4, equalize, 4, 0.8, rotate, 8),
    (0.6, solarize, 3, 0.6, equalize, 7),
    (0.8, posterize, 5, 1.0, equalize, 2),
    (0.2, rotate, 3, 0.6, solarize, 8),
    (0.6, equalize, 8, 0.4, posterize, 6),
    (0.8, rotate, 8, 0.4, color, 0),
    (0.4, rotate, 9, 0.6, equalize, 2),
    (0.0, equalize, 7, 0.8, equalize, 8),
    (0.6, invert, 4, 1.0, equalize, 8),
    (0.6, color, 4, 1.0, contrast, 8),
    (0.8, rotate, 8, 1.0, color, 2),
    (0.8, color, 8, 0.8, solarize, 7),
    (0.4, sharpness, 7, 0.6, invert, 8),
    (0.6, shear_x, 5, 1.0, equalize, 9),
    (0.4, color, 0, 0.6, equalize, 3),
    (0.4, equalize, 7, 0.2, solarize, 4),
    (0.6, solarize, 5, 0.6, autocontrast, 5),
    (0.6, invert, 4, 1.0, equalize, 8),
    (0.6, color, 4, 1.0, contrast, 8),
    (0.8, equalize, 8, 0.6, equalize, 3),
)
