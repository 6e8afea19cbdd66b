"""The command line: `python -m proxy` and its commands; `main` lists them."""
