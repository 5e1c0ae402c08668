"""`python -m frieren` is `frieren`; torchrun needs it as a module.

torchrun --nproc-per-node 2 -m frieren train mini
"""

from frieren.apps.cli import main

if __name__ == "__main__":
    main()
