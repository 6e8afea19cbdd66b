"""`python -m proxy.modelserver` is `python -m proxy provider`."""

from __future__ import annotations

import sys

from proxy.modelserver import main

sys.exit(main(sys.argv[1:]))
