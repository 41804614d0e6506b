"""The backend for Wan's video models, over diffusers' classes."""
