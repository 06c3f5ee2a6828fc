"""A VPC in a box: EC2's API, its network and a real Pacemaker cluster, in namespaces of this machine.

Nothing here imports the agent's library, and the library never imports this package:
the lab has to be able to prove the agent wrong.

Which process talks to which, over what:

    the user's process                     the machine's namespaces
      cli, scenarios, tests
        Lab -----------------.-----------.
         | starts            | orders:   | commands: nsenter into an instance
         | leash: a pipe     | JSON on a |
         v                   | unix      |
    host.launcher            | socket    |
         | fork, SIGKILL     |           |
    =====|===================|===========|========  the lab's own pid, net, mount, uts and ipc namespaces
         v                   v           |
    process 1 (reaper) -> host.supervisor|
                             | ec2.Account: one state, changed by calls
                             |    | after every change that took effect
                             |    v
                             | fabric: ip, nft -----> the VPC's routers: one end of every veth
                             |
                             | starts, kills, freezes  |
                             v                         |
    =========================|=========================|===  one instance's own namespaces
                           host.pid1                   |  the other ends: eth0, eth1, ...
                             | starts                  v
                           corosync, pacemaker -> resource agents, fence_aws
                             | HTTPS to ec2.REGION.amazonaws.com   (ec2.server, threads of the supervisor)
                             | HTTP to 169.254.169.254             (ec2.imds, likewise)
                           traffic.responder <- questions over TCP, UDP, ICMP - aws_ipfailover.watch elsewhere
                                                                                   | its standard output
                                                                                   v
                                                            traffic.recorder in the user's process -> judge
                                                                                   | record, verdict
                                                                                   v
                                                            report -> aws_ipfailover.report: the page of the run

A lab ends with its launcher, whatever ends that: the kernel then kills process 1, and with it everything in its
namespaces.
"""
