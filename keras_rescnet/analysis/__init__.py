"""What is measured of runs and models, without flags and exit codes."""
