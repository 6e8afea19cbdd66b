"""Copies of indices with semantic fields from one Elasticsearch to another, vectors included.

Both are spoken to as if `semantic_text` were their own: a licensed Elasticsearch, or a proxy that
gives the type to one that has none. So a copy goes from the proxy to an Elasticsearch and back in
the same way, and what the proxy keeps in documents is never seen here.

`_inference_fields` of documents carry chunks and vectors: Elasticsearch takes them from 8.18 on,
and embeds nothing where they are complete. Source: ShardBulkInferenceActionFilter.
"""
