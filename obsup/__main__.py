"""``python -m obsup``: the same as the console script."""

from obsup.cli.main import main

# A worker process imports the module that began its driver, and must not begin another.
if __name__ == "__main__":
    main()
