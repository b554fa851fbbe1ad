"""`python -m nbagent.testing`: kill an agent and count. See `chaos`."""

import sys

from nbagent.testing.chaos import main

sys.exit(main())
