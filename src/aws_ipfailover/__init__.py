"""Move a fixed IP address between AWS instances, under Pacemaker's decision."""

__version__ = "0.1.0"
