"""Calibrations and activations for models that are already built."""

from keras_rescnet.surgery.calibration import calibrate, calibration_report

__all__ = ["calibrate", "calibration_report"]
