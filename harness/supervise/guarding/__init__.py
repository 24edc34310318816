"""A worker's guard: what it knows of the worker's family on each platform, and how it ends that.

    main.py     the guard itself: its lines, its stages
    spawn.py    how the worker is started
    tree.py     which processes are left, as a table shows them. Pure
    linux.py    a subreaper, and /proc
    kin.py      which processes descend from a worker, by pid and start. Pure
    macos.py    libproc, sysctl and kqueue, which tell `kin` what it asks
    elsewhere.py  the table of ps

It imports little, for it starts with each worker.
"""
