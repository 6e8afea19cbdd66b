"""Elastic's description of the `_inference` API, cut down to what concerns this product."""
