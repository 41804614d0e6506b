"""The command line: `segs-detailer run` and its other commands. The entry point for Python is `main.main`."""
