"""The command line: `python -m proxy` and its commands serve, check, setup, rekey and provider."""
