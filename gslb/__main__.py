"""``python -m gslb``: the same as the command `gslb`."""

from gslb.cli import main

if __name__ == "__main__":
    main()
