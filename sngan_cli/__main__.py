"""Runs `python -m sngan_cli` as `sngan`."""

from sngan_cli.app import main

if __name__ == "__main__":
    main()
