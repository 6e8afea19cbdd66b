"""Calls to providers: Hugging Face endpoints and servers that speak like them."""
