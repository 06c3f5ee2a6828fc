"""EC2's operations, each a function of the account's state: pure, but for the time they are given."""
