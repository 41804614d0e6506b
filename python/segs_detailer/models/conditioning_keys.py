"""What the options of conditioning entries have to do with places in the picture, by the keys that ComfyUI reads."""

from __future__ import annotations

__all__ = ["CUT", "LEFT_OUT", "NEVER_PASSED", "SPATIAL", "WHOLE"]

CUT = frozenset(
    {
        "camera_conditions",
        "concat_latent_image",
        "concat_mask",
        "control_video",
        "pose_video_latent",
        "reference_motion",
        "vace_frames",
        "vace_mask",
    }
)
"""Latents and masks that lie over the whole frame, as tensors with height and width last, or lists of such."""

LEFT_OUT = frozenset({"gligen", "guide_attention_entries", "keyframe_idxs"})
"""Places in the whole frame, and guide frames at the end of a latent, which a segment does not have."""

NEVER_PASSED = frozenset({"denoise_mask", "latent_shapes"})
"""What a run sets itself, for its own latents."""

WHOLE = frozenset(
    {
        "audio_embed",
        "clip_vision_output",
        "cross_attn",
        "face_video_pixels",
        "hooks",
        "minimax_refs",
        "pooled_output",
        "ref_latent",
        "reference_latents",
        "time_dim_concat",
        "time_dim_replace",
        "unclip_conditioning",
    }
)
"""Text, sound, and pictures that are shown as a whole wherever a segment lies."""

SPATIAL = CUT | LEFT_OUT | {"area", "control", "mask", "minimax_keyframes"}
"""All that belongs to one place, so that segments that have it are sampled alone."""
