"""Where endpoints live: in Elasticsearch or in SQLite, every record sealed."""
