"""What is done to a lab, from a demonstration on."""
