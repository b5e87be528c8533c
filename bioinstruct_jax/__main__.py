"""`python -m bioinstruct_jax VERB ...`: the same as the command `bioinstruct`."""

import sys

from bioinstruct_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
