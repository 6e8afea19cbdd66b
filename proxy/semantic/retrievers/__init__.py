"""Retrievers that need a licence or an endpoint, evaluated in the proxy."""
