"""Who may use the board: its lease, a run's lease, the lock, and the clocks that are set under a lease and put back.

In: requests of the host, and the files below the agent's home. Out: replies, and failures (`busy`, `lease_lost`).
"""
