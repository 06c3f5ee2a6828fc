"""What the kernel of this node holds: addresses, links, routing rules, and what is announced to neighbours."""
