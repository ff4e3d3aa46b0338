"""Measures runs and models: a library that knows neither flags nor exit codes."""
