"""The command line: `python -m proxy` and its commands serve, check, rekey and provider."""
