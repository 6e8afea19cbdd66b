"""Real parts for the demo, the benches and the tests: Elasticsearch, and the Java that it needs."""
