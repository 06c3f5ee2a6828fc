"""What runs a lab on this machine: its namespaces, its instances, and the supervisor that takes orders."""
