"""Data of the course: tasks that are drawn, real digits, and the one specimen sentence of every chapter.

Drawn: `adding`, `copying`, `first_symbol`, `influence_balancing`, `sensor`, `specimen`. Read: `digits`, which
scikit-learn carries, and `mnist` and `cifar10`, from files that the reader has.
"""

from .adding import Adding, adding
from .cifar import cifar10
from .copying import Copying, copying
from .digits import Digits, digits
from .first_symbol import FirstSymbol, first_symbol
from .images import Images
from .influence import InfluenceBalancing, influence_balancing
from .mnist import mnist
from .sensor import Sensor, sensor
from .specimen import Specimen, specimen

__all__ = [
    "Adding",
    "Copying",
    "Digits",
    "FirstSymbol",
    "Images",
    "InfluenceBalancing",
    "Sensor",
    "Specimen",
    "adding",
    "cifar10",
    "copying",
    "digits",
    "first_symbol",
    "influence_balancing",
    "mnist",
    "sensor",
    "specimen",
]
