"""Files instead of a cluster: the command line of the engine (`pyvern`, `kubectl pyvern`)."""
