"""More than one process: ranks, heartbeats, asynchronous collection, a server that samples."""
