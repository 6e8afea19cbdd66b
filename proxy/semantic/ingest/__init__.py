"""`inference` processors of ingest pipelines, run by the proxy around the upstream's own."""
