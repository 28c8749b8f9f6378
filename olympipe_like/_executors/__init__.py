"""Ways to run workers: one port, one file each."""
