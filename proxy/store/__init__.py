"""Where endpoints live: in Elasticsearch or in an SQLite file, each record encrypted."""
