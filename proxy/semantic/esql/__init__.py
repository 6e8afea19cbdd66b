"""ES|QL: texts in queries are embedded, and answers show nothing of what the layer has added."""
