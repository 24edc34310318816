"""The chain of waits: from the thread that trains to whoever could end its wait. Pure."""
