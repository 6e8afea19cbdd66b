"""A reverse proxy that gives any Elasticsearch the `hugging_face` inference service."""
