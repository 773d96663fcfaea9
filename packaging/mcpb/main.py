"""What an .mcpb bundle starts. Beside it is the package: nothing of ours is built or installed on the user's machine."""

import sys

from phone_number_mcp.cli import main

sys.exit(main())
