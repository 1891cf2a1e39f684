"""`python -m bot`: the same as `deploystack`."""

from bot.cli import main

if __name__ == "__main__":
    main(prog_name="deploystack")
