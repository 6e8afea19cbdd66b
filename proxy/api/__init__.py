"""The `_inference` API: from aiohttp's request to the handler, and back to a response."""
