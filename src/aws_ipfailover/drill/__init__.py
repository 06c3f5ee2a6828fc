"""A failover on purpose, on a cluster that runs: planned, watched, judged, and everything as before afterwards."""
