"""`python -m proxy.provider` is `python -m proxy provider`."""

from __future__ import annotations

import sys

from proxy.provider import main

sys.exit(main(sys.argv[1:]))
