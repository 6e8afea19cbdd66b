"""Elastic's OpenAPI description of the `_inference` API, reduced to what the proxy serves."""
