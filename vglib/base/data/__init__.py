"""Data of the course: tasks that are drawn, real digits, and the one specimen sentence of every chapter.

Drawn: `adding`, `copying`, `first_symbol`, `influence_balancing`, `sensor`, `specimen`. Read: `digits`, which
scikit-learn carries, and `mnist`, from files that the reader has.
"""

from .adding import Adding, adding
from .copying import Copying, copying
from .digits import Digits, digits
from .first_symbol import FirstSymbol, first_symbol
from .influence import InfluenceBalancing, influence_balancing
from .mnist import mnist
from .sensor import Sensor, sensor
from .specimen import Specimen, specimen

__all__ = [
    "Adding",
    "Copying",
    "Digits",
    "FirstSymbol",
    "InfluenceBalancing",
    "Sensor",
    "Specimen",
    "adding",
    "copying",
    "digits",
    "first_symbol",
    "influence_balancing",
    "mnist",
    "sensor",
    "specimen",
]
