"""AWS as this project meets it: EC2's API, the SDK's sessions and errors, the instance metadata service."""
