"""What runs on the nodes in place of software that is not there.

Each file is copied to them, where the system's Python runs it: it imports nothing of the lab.
"""
