"""LTX-2, 2.3 and 2.5: the picture, with or without the sound, by the networks of diffusers."""
