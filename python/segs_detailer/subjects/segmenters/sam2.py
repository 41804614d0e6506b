"""SAM 2.1 and EdgeTAM, as transformers has them: each subject is a session of its own, pruned after each frame.

The library's sessions keep every frame and all that was computed for it. The network looks back at the memories of the
last few frames, at the pointers of some more, and at the frame in which the subject was shown; all else is let go here,
which changes no result. As each subject has its own session, subjects come and go without a trace; the image encoder,
by far the largest part, runs once for each frame, since the sessions share what it gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.errors import ModelError
from segs_detailer.subjects.hub_models import import_transformers
from segs_detailer.subjects.segmenters.segmenter import FollowedSubject, SegmenterSession, VideoSegmenter

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.subjects.hub_models import HubModel
    from segs_detailer.subjects.mask import Mask

__all__ = ["SAM2_CLASSES", "Sam2Segmenter"]

SAM2_CLASSES = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoInferenceSession"),
    "edgetam_video": ("EdgeTamVideoModel", "EdgeTamVideoInferenceSession"),
}
"""Classes of transformers for the `model_type` of a configuration."""

# Mean and spread of ImageNet, with which both were trained.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# What the network does not look at again, once a frame's memory was made.
_SPENT = ("pred_masks", "high_res_masks", "object_score_logits")
_MEMORY = ("maskmem_features", "maskmem_pos_enc")
_SUBJECT = 1


class Sam2Segmenter(VideoSegmenter):
    """SAM 2.1 or EdgeTAM.

    Parameters
    ----------
    model : HubModel
        What `read_model` gave; the weights are loaded with the first frame.
    """

    def __init__(self, model: HubModel) -> None:
        self.source = model
        self._network: Any = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Files, number format and kind of device."""
        return self.source.identity

    @property
    def side(self) -> int:
        """Side of the square that the network sees."""
        return int(self.source.config.image_size)

    def network(self) -> Any:
        """Load the weights, or take those that are there."""
        if self._network is None:
            model_class, _ = SAM2_CLASSES[self.source.kind]
            self._network = self.source.weights(model_class, self.source.torch_dtype(on_gpu="bfloat16"))
        return self._network

    def begin(self, frame_size: tuple[int, int]) -> SegmenterSession:
        """Begin a shot; see `VideoSegmenter.begin`."""
        return _Session(self, frame_size)

    def release(self) -> None:
        """Let go of the weights."""
        self._network = None


class _Session(SegmenterSession):
    """One shot: what subjects share."""

    def __init__(self, segmenter: Sam2Segmenter, frame_size: tuple[int, int]) -> None:
        self.network = segmenter.network()
        self.frame_size = frame_size
        self.side = segmenter.side
        self.device = segmenter.source.device
        self._made = getattr(import_transformers(), SAM2_CLASSES[segmenter.source.kind][1])
        # Features of the frame that was encoded last: all subjects take them from here.
        self._features = self.new_state().cache
        self._encoded: int | None = None

    def new_state(self) -> Any:
        """Make a session of transformers."""
        height, width = self.frame_size
        return self._made(
            video=None,
            video_height=height,
            video_width=width,
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=self.network.dtype,
        )

    def subject_state(self) -> Any:
        """Make a session of transformers for one subject, over the features of all."""
        state = self.new_state()
        state.cache = self._features
        return state

    def picture(self, frame: NDArray[np.float32]) -> torch.Tensor:
        """Scale a frame to the network's square, as bytes."""
        from segs_detailer.subjects.segmenters.pictures import reduced

        return reduced(frame, self.side)

    def prompt(self, index: int, picture: torch.Tensor, box: Box) -> tuple[FollowedSubject, Mask]:
        """Show a subject by its box; see `SegmenterSession.prompt`."""
        subject = _Subject(self, index)
        return subject, subject.begin(picture, box)

    def logits(self, state: Any, index: int, picture: torch.Tensor, *, reverse: bool) -> torch.Tensor:
        """Run the network for one subject in one frame: `(h, w)`, above 0 where it is."""
        import torch

        from segs_detailer.subjects.segmenters.pictures import normalized

        with torch.inference_mode():
            pixels = torch.empty(0)
            if index != self._encoded:
                # The library looks for features by the number of the frame alone.
                self._features.clear_all()
                pixels = normalized(picture, _MEAN, _STD, self.device, self.network.dtype)
            out = self.network(state, frame=pixels, frame_idx=index, reverse=reverse)
            self._encoded = index
        logits: torch.Tensor = out.pred_masks[0, 0]
        if not bool(torch.isfinite(logits).all()):
            raise ModelError("the segmenter gives numbers that are not finite: take float32 as `dtype`")
        return logits


class _Subject(FollowedSubject):
    """One subject in one direction."""

    def __init__(self, session: _Session, index: int, *, reverse: bool = False) -> None:
        self._session = session
        self._shown = index
        self._reverse = reverse
        self._state = session.subject_state()
        config = session.network.config
        self._memories = config.num_maskmem
        self._pointers = max(config.max_object_pointers_in_encoder, config.num_maskmem)

    def begin(self, picture: torch.Tensor, box: Box) -> Mask:
        """Show the subject; from then on it is known."""
        import torch

        state, session = self._state, self._session
        height, width = session.frame_size
        scale_x, scale_y = session.side / width, session.side / height
        x1, y1, x2, y2 = box
        # A box is its two corners, in pixels of the square.
        corners = [[[[x1 * scale_x, y1 * scale_y], [x2 * scale_x, y2 * scale_y]]]]
        labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
        own = state.obj_id_to_idx(_SUBJECT)
        points = {"point_coords": torch.tensor(corners, dtype=torch.float32), "point_labels": labels}
        state.add_point_inputs(own, self._shown, points)
        state.obj_with_new_inputs = [_SUBJECT]
        return self._mask(self._shown, picture)

    def follow(self, index: int, picture: torch.Tensor) -> Mask:
        """Draw the mask in the next frame; see `FollowedSubject.follow`."""
        return self._mask(index, picture)

    def turned(self) -> FollowedSubject:
        """Return the subject as it was shown, for the frames before."""
        other = _Subject(self._session, self._shown, reverse=not self._reverse)
        own = other._state.obj_id_to_idx(_SUBJECT)
        shown = self._state.output_dict_per_obj[own]["cond_frame_outputs"]
        other._state.output_dict_per_obj[own]["cond_frame_outputs"] = {
            index: dict(output) for index, output in shown.items()
        }
        return other

    def _mask(self, index: int, picture: torch.Tensor) -> Mask:
        from segs_detailer.subjects.segmenters.pictures import mask_of_logits

        logits = self._session.logits(self._state, index, picture, reverse=self._reverse)
        self._forget(index)
        return mask_of_logits(logits, self._session.frame_size)

    def _forget(self, index: int) -> None:
        """Let go of what no later frame looks at: see the module's text."""
        self._state.processed_frames.pop(index, None)
        for tracked in self._state.frames_tracked_per_obj.values():
            tracked.clear()
        for inputs in self._state.point_inputs_per_obj.values():
            inputs.clear()
        for outputs in self._state.output_dict_per_obj.values():
            past = outputs["non_cond_frame_outputs"]
            for other in [other for other in past if abs(index - other) >= self._pointers]:
                del past[other]
            for other, output in past.items():
                _drop(output, (*_SPENT, *_MEMORY) if abs(index - other) >= self._memories else _SPENT)
            for output in outputs["cond_frame_outputs"].values():
                _drop(output, _SPENT)


def _drop(output: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        output.pop(name, None)
