"""`python -m agent` is the program `perpflux`."""

from agent.cli import entry_point

if __name__ == "__main__":
    entry_point()
