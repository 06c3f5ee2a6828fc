"""The command `aws-ipfailover` for administrators. The agent never imports it."""
