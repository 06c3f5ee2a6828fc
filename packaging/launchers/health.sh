#!/bin/sh
# The OCF resource agent ocf:heartbeat:aws-ipfailover-health. It is a Python program; this file of the package starts it, as
# that of ocf:heartbeat:aws-ipfailover beside it. Where no Python can run it, or its files are damaged, stop succeeds, because
# it has nothing to do; start and a recurring monitor make the node red, because no address can be started there.
@LAUNCH@
case "$#:${1-}:${OCF_RESKEY_CRM_meta_interval:-0}" in
    1:stop:*)
        printf 'WARNING: %s\n' "$reason" >&2
        exit 0
        ;;
    1:monitor:0) ;;
    1:start:* | 1:monitor:*)
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        timeout 4 attrd_updater --name '#health-aws-ipfailover' --update red --delay 30s >/dev/null 2>&1 </dev/null || :
        ;;
esac
printf '%s%s\n' "${OCF_EXIT_REASON_PREFIX:-ocf-exit-reason:}" "$reason" >&2
exit 5
