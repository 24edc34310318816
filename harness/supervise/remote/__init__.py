"""Ranks on other machines: what their hosts tell the supervisor, and both ends of that line.

    supervisor -> mlx.launch -> ssh.py -> ssh ~~~ far.py -> guard -> worker

far.py starts the worker on its host and tells of it in frames among its output; ssh.py, which
`mlx.launch` finds under the name of ssh, takes the frames out again and writes the worker's beats
where a worker of this machine would have written them.
"""
