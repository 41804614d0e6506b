"""Diffusion models of diffusers behind the `Sampler` protocol. diffusers is imported when something is loaded."""
