"""Data of the course: tasks that are drawn, real digits, and the one specimen sentence of every chapter.

Drawn: `adding`, `copying`, `influence_balancing`, `sensor`, `specimen`. Read: `digits`.
"""

from .adding import Adding, adding
from .copying import Copying, copying
from .digits import Digits, digits
from .influence import InfluenceBalancing, influence_balancing
from .sensor import Sensor, sensor
from .specimen import Specimen, specimen

__all__ = [
    "Adding",
    "Copying",
    "Digits",
    "InfluenceBalancing",
    "Sensor",
    "Specimen",
    "adding",
    "copying",
    "digits",
    "influence_balancing",
    "sensor",
    "specimen",
]
