"""The domain, without I/O: endpoints, requests and results, and what can be done with them."""
