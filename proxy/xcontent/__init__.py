"""Bodies in JSON, YAML and CBOR as trees that know their places, and the values in them. No I/O."""
