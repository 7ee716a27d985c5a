"""The functions that compute the quantities; to import them registers them."""

from archcalc.analyses import cost, decoding, depth, least, memory, peak, saved  # noqa: F401
from archcalc.analyses.registry import DECIDED, OF_BATCH, OF_LAYER, OF_PLACES, OF_SCOPE

__all__ = ["DECIDED", "OF_BATCH", "OF_LAYER", "OF_PLACES", "OF_SCOPE"]
