"""What the kernel holds and sends: everything of this node's network that is not asked of AWS."""
