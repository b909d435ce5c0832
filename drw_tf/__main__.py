"""`python -m drw_tf`: the `drw-tf` command where it is not installed."""

from drw_tf import command

if __name__ == "__main__":
    command.program()
