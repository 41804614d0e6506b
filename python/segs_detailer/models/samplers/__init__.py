"""Samplers: short pure functions `(denoiser, x, sigmas, *, noise, callback) -> x`, and one registry of their names."""

from __future__ import annotations

from segs_detailer.models.samplers.registry import SAMPLERS, SamplerFunction, SamplerSpec, sampler_named, sampler_names

__all__ = ["SAMPLERS", "SamplerFunction", "SamplerSpec", "sampler_named", "sampler_names"]
