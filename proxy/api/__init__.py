"""The `_inference` API: from a request of aiohttp to its handler, and back to a response."""
