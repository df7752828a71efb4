"""``python -m bnexport``."""

import sys

from bnexport.cli import main

sys.exit(main())
