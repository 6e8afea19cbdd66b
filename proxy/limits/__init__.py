"""Bounds on what requests may take together: places, memory, threads and time."""
