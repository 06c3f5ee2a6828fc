#!/bin/bash
# A web server behind an overlay address, set up by a script: a unit of systemd, an init script, fencing by sbd.
set -euo pipefail

NODES="weba webb"
VIP=192.168.80.8
TABLES=$(aws ec2 describe-route-tables --query 'RouteTables[].RouteTableId' --output text)
NIC=${NIC:-eth0}

log() { echo "$(date) $*"; }

if ! rpm -q pcs >/dev/null; then
    dnf install -y pcs pacemaker
    log "installed"
else
    log "there already"
fi
cat >/etc/nginx/conf.d/here.conf <<EOF
server { listen $VIP:80; }
EOF
for node in $NODES; do
    pcs host auth "$node" -u hacluster -p secret
done
pcs cluster setup web $NODES && pcs cluster start --all --wait=60

pcs cluster cib web.cib
pcs -f web.cib stonith create sbd fence_sbd devices=/dev/xvdf pcmk_host_list="weba webb" op monitor interval=60s
pcs -f web.cib resource create vip ocf:heartbeat:aws-vpc-move-ip ip="$VIP" \
    routing_table=$TABLES interface=$NIC \
    op monitor interval=15s timeout=30s --group web
pcs -f web.cib resource create exporter lsb:web-exporter op monitor interval=10s --group web
pcs -f web.cib resource create nginx systemd:nginx op monitor interval=10s timeout=60s --group web
pcs cluster cib-push web.cib
log "done"
