"""A local control plane for development and tests: etcd, the API server, its controllers and our operators as plain processes.

`python -m deploy.local --help` is the command line. Finding and building the binaries needs the standard library only.
"""
