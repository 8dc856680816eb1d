"""`python -m antiphon`: the same as the `antiphon` command."""

from .cli.main import main

main()
