"""Diffusion models of the diffusers library behind the `Sampler` protocol. Only `loader` imports diffusers itself."""
