"""Running statistics estimated anew from data: exact, over all of it."""

from bnexport.recalibrate.recalibrate import recalibrate
from bnexport.recalibrate.result import LayerChange, Recalibration

__all__ = ["LayerChange", "Recalibration", "recalibrate"]
