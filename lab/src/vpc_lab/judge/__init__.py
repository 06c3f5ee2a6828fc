"""What a lab is judged by: what its consumers saw, what is left behind, and what happened when."""
