"""The agent: what runs on the board. Python 3.8 and its standard library; numpy and a runtime in the worker alone.

The rooms, upper ones first. Each imports from those below it only (import-linter checks this):

    __main__            the commands: parse, call, reply; each imports only what it needs
    probe               what the command `probe` reports, collected from the rooms
    run                 one run: launch, supervisor, worker, journal, follow
    storage             what is kept on the board: blobs, environments, journals in memory; cleaning and removal
    lease               who may use the board: leases, the lock, clocks set under a lease
    board, runtimes     facts and sensors; what can run a model
    home                where the agent's files are, and how it starts itself again
    protocol            messages, specifications, requests; the host imports this room, too

`home` is below the rooms because all of them need it. `probe` is above them because it reports on all of them. Journals
in memory belong to `storage`, not to `run`: cleaning and removal have to find them, too.
"""
