"""Statistics of latencies: numpy and scipy only, no knowledge of devices or files."""
