"""Elasticsearch's REST conventions: parameters, media types, routes, answers. No I/O."""
