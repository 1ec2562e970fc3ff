"""Elementary streams: finds the pictures that a stream without a container lacks. One file per codec."""
