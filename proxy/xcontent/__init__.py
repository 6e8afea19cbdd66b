"""Bodies as trees that know where everything stood, in JSON, YAML and CBOR. No I/O."""
