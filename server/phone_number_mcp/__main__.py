"""`python -m phone_number_mcp` is the command `phone-number-mcp`."""

import sys

from phone_number_mcp.cli import main

sys.exit(main())
