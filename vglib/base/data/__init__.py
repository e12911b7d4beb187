"""Data of the course: real digits and the one specimen sentence that every chapter looks at."""

from .digits import Digits, digits
from .specimen import Specimen, specimen

__all__ = ["Digits", "Specimen", "digits", "specimen"]
