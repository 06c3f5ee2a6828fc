"""`aws-ipfailover lab`: what an administrator types."""
