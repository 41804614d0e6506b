"""Re-detail chosen regions of video frames."""
