"""`python -m hub_tools.hub.embedded serve | run | env`."""

import sys

from hub_tools.hub.embedded.commands import main


sys.exit(main(sys.argv[1:]))
