"""IAM: who a caller is, what a policy allows, and what an operation needs permission for."""
