"""Diffusion models of diffusers behind the `Sampler` protocol. diffusers itself is imported when something is loaded."""
