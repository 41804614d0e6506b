"""Kernels of this package in the place of an installed Impact Pack's image functions, where somebody asked for them.

Nothing is written anywhere: the functions are replaced in the memory of a running ComfyUI, by attribute.
"""
