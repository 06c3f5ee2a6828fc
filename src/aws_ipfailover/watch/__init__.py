"""Keeps asking an address whether it is answered, and by whom; and what is to be seen in the answers."""
