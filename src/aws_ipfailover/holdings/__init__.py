"""What a resource holds on the active node: in the kernel, and in EC2."""
