"""The Elasticsearch behind the proxy: its nodes, how they are asked, what they say of callers."""
