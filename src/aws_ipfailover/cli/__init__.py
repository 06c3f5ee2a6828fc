"""What an administrator types. The agent never imports it."""
