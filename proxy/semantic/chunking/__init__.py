"""How long texts are cut into chunks, at the same places as Elasticsearch cuts them. No I/O."""
