"""`make demo`: a tour of the product with real parts on this machine."""
