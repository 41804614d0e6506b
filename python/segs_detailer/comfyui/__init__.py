"""The nodes in ComfyUI: declarations, registration, the sampling backend, and the folder in `custom_nodes`.

Importing this package imports nothing of ComfyUI's: modules that do are loaded by a running ComfyUI.
"""
