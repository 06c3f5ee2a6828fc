"""What `make docs` does beside MkDocs: pages from outside docs/, diagrams, and the check of what was built."""
