"""``python -m synthaug``."""

from synthaug.cli.app import main

if __name__ == "__main__":
    main()
