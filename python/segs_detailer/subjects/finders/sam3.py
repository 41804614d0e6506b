"""What words name, by SAM 3 video: masks with identities, from a text alone.

The library's session keeps every frame and all that was computed for it; what no later frame looks at is let go here
after each frame, which changes no result. It drops subjects within the first frames of their life, where detections do
not bear them out, and says so only when a frame is not given along with the call: frames are put into the session
first, and what it drops is forgotten with all its masks, as nothing was passed on yet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import ModelError
from segs_detailer.subjects.association import Chain, Detection
from segs_detailer.subjects.finders.filtering import DetectionFilter
from segs_detailer.subjects.finders.finder import Finder, FollowSettings, check_frame
from segs_detailer.subjects.finders.shots import ShotDetector
from segs_detailer.subjects.hub_models import import_transformers, quiet_libraries
from segs_detailer.subjects.phrases import check_phrases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from numpy.typing import NDArray

    from segs_detailer.subjects.hub_models import HubModel
    from segs_detailer.subjects.mask import Mask
    from segs_detailer.subjects.track import Track

__all__ = ["SAM3_KIND", "Sam3Finder"]

SAM3_KIND = "sam3_video"
"""The `model_type` of its configuration."""

_MEAN = _STD = (0.5, 0.5, 0.5)
_TOKENS = 32
_SPENT = ("pred_masks", "high_res_masks", "object_score_logits")
_MEMORY = ("maskmem_features", "maskmem_pos_enc")


class Sam3Finder(Finder):
    """SAM 3 video: looks for what phrases name in every frame, and follows it with its mask.

    Parameters
    ----------
    model : HubModel
        What `read_model` gave; the weights are loaded with the first frame.
    words : iterable of str
        Phrases: the labels of the tracks.
    confidence : float or None
        Least score; None is that of the model's configuration.
    min_size : float or None
        Least length of the longer side of a subject's extent, in pixels of the frame.

    Raises
    ------
    InvalidArgumentError
        A phrase or a value that cannot be used.
    """

    gives_masks = True

    def __init__(
        self,
        model: HubModel,
        words: Iterable[str],
        *,
        confidence: float | None = None,
        min_size: float | None = None,
    ) -> None:
        self._source = model
        self._words = check_phrases("words", words)
        self._least = confidence
        self._filter = DetectionFilter(1.0 if confidence is None else confidence, None, min_size)
        tokenizer = model.part("AutoTokenizer")
        self._tokens = {
            word: tokenizer(word, return_tensors="pt", padding="max_length", max_length=_TOKENS, truncation=True)
            for word in self._words
        }
        self._network: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """The phrases."""
        return self._words

    @property
    def identity(self) -> tuple[str, ...]:
        """Files, number format and kind of device."""
        return self._source.identity

    def release(self) -> None:
        """Let go of the weights."""
        self._network = None

    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the subjects of a clip; see `find_tracks`. Tracks have a mask in each of their frames."""
        settings = settings or FollowSettings()
        cuts = ShotDetector()
        chains: list[Chain] = []
        shot: _Shot | None = None
        index = -1
        for index, frame in enumerate(frames):
            size = check_frame(frame)
            if cuts.begins_shot(frame) or shot is None:
                if shot is not None:
                    chains += shot.chains(index)
                shot = _Shot(self, index, size)
            shot.take(index, frame)
            if progress is not None:
                progress(index + 1)
        if shot is not None:
            chains += shot.chains(index + 1)
        # A mask tells by itself where its subject is seen: frames without are no misses of a detector.
        kept = [chain for chain in chains if len(chain.frames) >= settings.least_frames(chain, 1)]
        kept = [chain for chain in kept if _side(chain) > settings.drop_size and self._is_large(chain)]
        kept.sort(key=lambda chain: chain.frames[0])
        return [chain.track(number, shape=settings.shape or "box") for number, chain in enumerate(kept, start=1)]

    def _is_large(self, chain: Chain) -> bool:
        least = self._filter.min_size
        boxes = (detection.box for detection in chain.detections)
        return least is None or max(max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes) >= least

    def network(self) -> Any:
        """Load the weights, or take those that are there."""
        if self._network is None:
            # Else code is fetched from the hub and run, where a package for that is installed.
            modeling: Any = importlib.import_module("transformers.models.sam3_video.modeling_sam3_video")
            modeling.cv_utils_kernel = False
            self._network = self._source.weights("Sam3VideoModel", self._source.torch_dtype(on_gpu="bfloat16"))
            if self._least is not None:
                self._network.score_threshold_detection = self._least
                self._network.new_det_thresh = self._least
        return self._network

    def new_state(self, size: tuple[int, int]) -> Any:
        """Make a session of transformers that knows the phrases."""
        device = self._source.device
        state = _session_class()(
            video=None,
            video_height=size[0],
            video_width=size[1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=self.network().dtype,
        )
        state.processed_frames = {}
        for word, tokens in self._tokens.items():
            number = state.add_prompt(word)
            state.prompt_input_ids[number] = tokens["input_ids"].to(device)
            state.prompt_attention_masks[number] = tokens["attention_mask"].to(device)
        return state

    def pixels(self, frame: NDArray[np.float32]) -> torch.Tensor:
        """Return a frame as the network sees it."""
        from segs_detailer.subjects.segmenters.pictures import normalized, reduced

        network = self.network()
        picture = reduced(frame, int(network.config.image_size))
        return normalized(picture, _MEAN, _STD, self._source.device, network.dtype)


def _session_class() -> Any:
    base: Any = import_transformers().Sam3VideoInferenceSession

    class Session(base):  # type: ignore[misc]
        """A session that counts its frames although it does not keep them.

        The network takes the number of frames for the length of the clip, which limits how far it looks back; it is not
        known here, and never limits.
        """

        num_frames = 1 << 30

    return Session


class _Shot:
    """One shot, and what was found in it so far."""

    def __init__(self, finder: Sam3Finder, start: int, size: tuple[int, int]) -> None:
        self._finder = finder
        self._start = start
        self._size = size
        self._network = finder.network()
        self._state = finder.new_state(size)
        self._found: dict[int, Chain] = {}

    def take(self, index: int, frame: NDArray[np.float32]) -> None:
        """Look at the next frame."""
        import torch

        number = index - self._start
        with torch.inference_mode(), quiet_libraries():
            self._state.add_new_frame(self._finder.pixels(frame), number)
            # Without the frame as an argument: with it, it is taken for one that nobody knows the future of, and no
            # subject is dropped.
            out = self._network(self._state, frame_idx=number)
        for dropped in out.removed_obj_ids:
            self._found.pop(int(dropped), None)
        hidden = {*out.suppressed_obj_ids, *out.removed_obj_ids}
        logits = {own: mask[0].float() for own, mask in out.obj_id_to_mask.items() if own not in hidden}
        if not all(bool(torch.isfinite(mask).all()) for mask in logits.values()):
            raise ModelError(
                f"{self._finder.names}: the model gives numbers that are not finite: take float32 as `dtype`"
            )
        scores = {own: float(out.obj_id_to_tracker_score.get(own, 0.0)) for own in logits}
        for own, mask in self._masks(logits, scores):
            self._add(own, index, mask, float(out.obj_id_to_score[own]))
        _forget(self._state, self._network, number)

    def _masks(self, logits: dict[int, torch.Tensor], scores: dict[int, float]) -> Iterable[tuple[int, Mask]]:
        """Masks of a frame's subjects: of those of one phrase, the surest has the pixels that several claim."""
        from segs_detailer.subjects.segmenters.pictures import mask_of_logits

        taken: dict[int, NDArray[np.bool_]] = {}
        for own in sorted(logits, key=lambda own: -scores[own]):
            mask = mask_of_logits(logits[own], self._size)
            if mask.empty:
                continue
            prompt = self._state.obj_id_to_prompt_id[own]
            others = taken.setdefault(prompt, np.zeros(self._size, bool))
            x1, y1, x2, y2 = mask.place
            place = (slice(y1, y2), slice(x1, x2))
            bits = mask.bits() & ~others[place]
            others[place] |= bits
            mask = type(mask).from_pixels(bits, (x1, y1))
            if not mask.empty:
                yield own, mask

    def _add(self, own: int, index: int, mask: Mask, score: float) -> None:
        chain = self._found.get(own)
        if chain is None:
            word = self._state.prompts[self._state.obj_id_to_prompt_id[own]]
            chain = self._found[own] = Chain(word, (self._start, index + 1))
        x1, y1, x2, y2 = mask.place
        chain.add(index, Detection((float(x1), float(y1), float(x2), float(y2)), score, chain.label, mask=mask))

    def chains(self, stop: int) -> list[Chain]:
        """End the shot; return its subjects."""
        for chain in self._found.values():
            chain.shot = (self._start, stop)
        return list(self._found.values())


def _forget(state: Any, network: Any, number: int) -> None:
    """Let go of what no later frame looks at."""
    config = network.tracker_model.config
    memories, pointers = config.num_maskmem, max(config.max_object_pointers_in_encoder, config.num_maskmem)
    state.processed_frames.pop(number, None)
    for by_frame in (state.suppressed_obj_ids, state.obj_id_to_tracker_score_frame_wise):
        by_frame.pop(number, None)
    for counted, least in (
        (state.unmatched_frame_inds, network.hotstart_unmatch_thresh),
        (state.overlap_pair_to_frame_inds, network.hotstart_dup_thresh),
    ):
        # Only their number counts, and only up to this one.
        for key, numbers in counted.items():
            counted[key] = numbers[-least:]
    for tracked in state.frames_tracked_per_obj.values():
        for other in [other for other in tracked if number - other >= pointers]:
            del tracked[other]
    for inputs in (*state.mask_inputs_per_obj.values(), *state.point_inputs_per_obj.values()):
        inputs.clear()
    for outputs in state.output_dict_per_obj.values():
        past, shown = outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
        for other in [other for other in past if number - other >= pointers]:
            del past[other]
        for other, output in past.items():
            _drop(output, (*_SPENT, *_MEMORY) if number - other >= memories else _SPENT)
        # Of frames in which a subject was shown, the memories of the nearest count, and the pointers of all.
        nearest = sorted(shown)[-config.max_cond_frame_num :] if config.max_cond_frame_num > 0 else sorted(shown)
        for other, output in shown.items():
            is_seen = other in nearest or number - other < memories
            _drop(output, _SPENT if is_seen else (*_SPENT, *_MEMORY))


def _drop(output: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        output.pop(name, None)


def _side(chain: Chain) -> float:
    """Shorter side of a subject's largest extent."""
    boxes = (detection.box for detection in chain.detections)
    return max(min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
