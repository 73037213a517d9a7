"""What the agent keeps on the board: blobs, environments, runs' journals in memory; and how all of it is removed.

In: bytes and specifications from the host. Out: files below the agent's home, checked by hash; what was removed.
"""
