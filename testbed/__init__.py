"""Real parts for the demo, the benches and the tests: Elasticsearch, its Java, child processes."""
