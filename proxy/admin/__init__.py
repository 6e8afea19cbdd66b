"""For whoever runs the proxy: health and figures, on a listener of their own."""
