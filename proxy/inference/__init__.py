"""The domain: endpoints, inputs and results of the inference service. No I/O."""
