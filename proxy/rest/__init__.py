"""Elasticsearch's REST conventions: routes, parameters, media types, bodies, answers. No I/O."""
