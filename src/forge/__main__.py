"""`python -m forge` is `forge`."""

from forge.cli.main import main

if __name__ == "__main__":
    main()
