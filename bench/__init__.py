"""Speed of the proxy compared with nginx and others (see docs/lane.md), of chunking; the soak."""
