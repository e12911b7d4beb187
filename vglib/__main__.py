"""``python -m vglib``: see ``vglib.course.cli``."""

import sys

from vglib.course.cli import main

if __name__ == "__main__":
    sys.exit(main())
