"""HunyuanVideo 1.5: text to video, by the networks of diffusers."""
