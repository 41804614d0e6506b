"""Files that hold subjects: SEGS files, COCO, boxes, mask pictures and videos."""

from __future__ import annotations
