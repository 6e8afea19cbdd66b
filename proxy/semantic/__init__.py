"""Gives any Elasticsearch the `semantic_text` field: what declares it, fills it and shows it."""
