"""The VPC's network in the kernel."""
