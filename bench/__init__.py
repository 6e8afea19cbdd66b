"""Measurements against what else could stand in the proxy's place; see `docs/lane.md`."""
