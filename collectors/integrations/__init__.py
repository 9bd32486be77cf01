"""One small file for each tool that people already use. Each needs that tool, and says so where it is missing."""
