"""``python -m tests.golden DIR``"""

import sys

from tests.golden.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
