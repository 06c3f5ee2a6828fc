"""The lab's AWS, asked by real clients."""
