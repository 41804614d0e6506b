"""What type checkers know of results: `mypy` reads this file beside the package; nothing runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import segs_detailer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor
    from typing_extensions import assert_type

    def arrays(frames: NDArray[Any], segs: segs_detailer.SEGS, pipe: segs_detailer.BasicPipe) -> None:
        """Arrays in, arrays out."""
        assert_type(segs_detailer.detail_frames(frames, segs, pipe).frames, NDArray[Any])
        assert_type(segs_detailer.crop_frames(frames, (0, 0, 8, 8)), NDArray[Any])
        assert_type(segs_detailer.resize_frames(frames, (8, 8)), NDArray[Any])
        assert_type(segs_detailer.paste(frames, frames, None, (0, 0, 8, 8)), NDArray[Any])
        assert_type(segs_detailer.feather_mask(frames, 2), NDArray[Any])

    def tensors(frames: Tensor, segs: segs_detailer.SEGS, pipe: segs_detailer.BasicPipe) -> None:
        """Tensors in, tensors out."""
        assert_type(segs_detailer.detail_frames(frames, segs, pipe, denoise=0.4).frames, Tensor)
        assert_type(segs_detailer.crop_frames(frames, (0, 0, 8, 8)), Tensor)
        assert_type(segs_detailer.resize_masks(frames, (8, 8)), Tensor)
        assert_type(segs_detailer.paste(frames, frames, None, (0, 0, 8, 8)), Tensor)

    def images(frames: list[Image.Image], segs: segs_detailer.SEGS, pipe: segs_detailer.BasicPipe) -> None:
        """Images in, images out."""
        assert_type(segs_detailer.detail_frames(frames, segs, pipe).frames, Sequence[Image.Image])
