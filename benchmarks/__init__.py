"""Measurements of the agent beside aws-vpc-move-ip. `make bench` runs them and writes docs/performance.md."""
