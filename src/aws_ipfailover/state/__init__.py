"""Where an address is: by EC2, by the kernel, by Pacemaker; and what the agent has done. Changes nothing."""
