"""``python -m obsup``: the same as the console script."""

from obsup.cli.main import main

main()
