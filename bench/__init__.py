"""Speed of the proxy compared with nginx and others (see docs/lane.md), and the soak."""
