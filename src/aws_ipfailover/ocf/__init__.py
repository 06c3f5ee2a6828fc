"""OCF 1.1 as Pacemaker speaks it: environment, exit codes, exit reason, logging, metadata.

Facts: the OCF Resource Agent API 1.1; "Pacemaker Administration", agents; the shell library of resource-agents for
where logs go (HA_LOGFACILITY, HA_LOGFILE, HA_debug).
"""

AGENT = "aws-ipfailover"
HEALTH_AGENT = "aws-ipfailover-health"
# The directory of agents where Pacemaker does not say it in OCF_ROOT.
OCF_ROOT = "/usr/lib/ocf"
