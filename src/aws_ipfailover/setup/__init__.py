"""What an administrator sets up around the agent: which mode, IAM policies, a cluster's configuration."""
