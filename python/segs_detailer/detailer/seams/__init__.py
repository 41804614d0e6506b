"""What makes a repainted crop fit the frame around it: its colours, and what the VAE alone changed."""

from segs_detailer.detailer.seams.colour import match_colours
from segs_detailer.detailer.seams.round_trip import round_trip_error

__all__ = ["match_colours", "round_trip_error"]
