"""The semantic layer: fields of type `semantic_text` on an Elasticsearch that lacks them."""
