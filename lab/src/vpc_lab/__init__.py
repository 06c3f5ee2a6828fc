"""A VPC in a box: EC2's API, its network and a real Pacemaker cluster, in namespaces of this machine.

Nothing here imports the agent's library, and the library never imports this package:
the lab has to be able to prove the agent wrong.
"""
