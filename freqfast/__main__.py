"""`python -m freqfast`."""

from freqfast.cli.main import main

if __name__ == "__main__":
    main()
