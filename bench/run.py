"""What a request, a chunk and an open stream cost in the proxy, beside other gateways and beside the provider itself.

    python bench/run.py [--quick] [--only CASE,...] [--contenders NAME,...] [--rounds N] [--peers] [--out FILE]

README.md beside this file tells what is measured and how.
"""

import sys
from pathlib import Path

# Started by its path, Python looks for modules beside this file; all are named from the root.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.command import main  # noqa: E402  the path above must come first

if __name__ == "__main__":
    sys.exit(main())
