"""What makes a repainted crop fit the frame around it: its colors, and what the VAE alone changed."""

from segs_detailer.detailer.seams.color import match_colors
from segs_detailer.detailer.seams.round_trip import round_trip_error

__all__ = ["match_colors", "round_trip_error"]
