"""What several tests need: parts that are started, stubs, callers, certificates."""
