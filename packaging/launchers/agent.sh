#!/bin/sh
# The OCF resource agent ocf:heartbeat:aws-ipfailover. It is a Python program; this file of the package starts it.
#
# Where no Python can run it, or its files are damaged, this file performs two actions by itself, with `ip` alone. Stop,
# because a failed stop makes Pacemaker fence the node. A probe, because Pacemaker takes exit code 5, or an agent whose
# interpreter is not there, for "not running here", and would start the resource elsewhere while this node has the address.
# What cannot be told from what `ip` prints ends with 1. Every other action, also a recurring monitor, ends with 5.
@LAUNCH@
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
prefix=${OCF_EXIT_REASON_PREFIX:-ocf-exit-reason:}
newline='
'

# End with the exit code $1 and the exit reason $2.
end() {
    printf '%s%.400s\n' "$prefix" "$2" >&2
    exit "$1"
}

case "$#:${1-}:${OCF_RESKEY_CRM_meta_interval:-0}" in
    1:stop:*) word=stop ;;
    1:monitor:0) word=monitor ;;
    *) end 5 "$reason" ;;
esac
command -v ip >/dev/null || end 1 "cannot tell what is on this node: the ip command (package iproute2) is not installed; $reason"

# End with the exit code $1: what was asked is known, or done.
done_with() {
    # shellcheck disable=SC2016  # a name of a program
    printf 'WARNING: %s was performed with `ip` alone: %.400s\n' "$word" "$reason" >&2
    exit "$1"
}

unknown() {
    end 1 "cannot tell what is on this node: $1; $reason"
}

# What `ip` lists with these arguments; fails where it does, but for an address that is none, which a start refuses, and
# a table that is not there, as in a network namespace that never had an address.
listed() {
    output=$(ip "$@" 2>&1) || case "$output" in
        *"prefix is expected"* | *"table does not exist"*) output="" ;;
        *) return 1 ;;
    esac
    printf '%s\n' "$output"
}

byte="(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
# The addresses that the parameters name, one a line; what a start refuses is left out.
named_addresses() {
    printf '%s,%s\n' "${OCF_RESKEY_ip-}" "${OCF_RESKEY_address-}" | tr ',' '\n' | tr -d ' \t' | tr A-F a-f |
        grep -E "^($byte(\.$byte){3}|[0-9a-f]*:[0-9a-f:]*)$" |
        grep -vE '^(0\.|127\.|169\.254\.|2[4-9][0-9]\.|22[4-9]\.|23[0-9]\.|::1?$|::ffff:|fe[89ab]|ff|fd00:0*ec2:)' || :
}

# The options of `ip`, and the length of a whole address, by family: "-4 32" or "-6 128".
family_of() {
    case $1 in *:*) echo "-6 128" ;; *) echo "-4 32" ;; esac
}

mode=$(printf '%s' "${OCF_RESKEY_mode-}" | tr -d ' \t')
[ -n "$mode" ] || mode=overlay-ip
eni=""
case $mode in
    overlay-ip | private-ip) ;;
    *) eni=$(printf '%s\n' "${OCF_RESKEY_network_interface_id-}" | tr -d ' \t' | grep -E '^eni-[0-9a-f]{8,17}$' || :) ;;
esac
digits=$(printf '%s' "${eni:-0}" | tail -c 6)
table=$((1000000 + 0x$digits)) # the ENI's routing table
addresses=$(named_addresses)

# Where the address $1 is: lines "DEVICE ADDRESS/LENGTH", one for each device; of overlay-ip and IPv4 of private-ip not
# what DHCP or a router has configured. Fails where that cannot be told.
places_of() {
    # shellcheck disable=SC2046  # two words
    set -- "$1" $(family_of "$1")
    found=$(listed -o "$2" address show to "$1/$3") || return 1
    printf '%s\n' "$found" | while read -r index device family address rest; do
        case "$index:$family" in
            :) continue ;;
            *:inet | *:inet6) ;;
            *) exit 1 ;;
        esac
        case "$mode:$family: $rest " in
            overlay-ip:*" dynamic "* | private-ip:inet:*" dynamic "*) continue ;;
        esac
        length=${address##*/}
        case "$mode:$length: $rest" in
            overlay-ip:32:* | overlay-ip:128:* | overlay-ip:*" secondary "* | private-ip:* | eni*) ;;
            # Perhaps the node's own address: which it is takes more than a shell.
            overlay-ip:*) exit 1 ;;
        esac
        case $rest in
            peer\ *) rest=${rest#peer }; echo "${device%%@*} $address peer ${rest%% *}" ;;
            *) echo "${device%%@*} $address" ;;
        esac
    done
}

# The devices that a start has marked with the ENI's id, one a line.
marked() {
    [ -n "$eni" ] || return 0
    links=$(listed -o link show) || return 1
    printf '%s\n' "$links" | grep -F "alias aws-ipfailover $eni, addresses: " | while read -r index device rest; do
        device=${device%:}
        case "$rest" in "<"*",UP,"* | "<UP,"* | "<"*",UP>"*) state=up ;; *) state=down ;; esac
        echo "${device%%@*} $state"
    done
}

# The rules into the ENI's routing table: lines "FAMILY PRIORITY ADDRESS".
rules() {
    [ -n "$eni" ] || return 0
    for family in -4 -6; do
        [ "$family" = -4 ] || [ -e /proc/net/if_inet6 ] || continue
        lines=$(listed "$family" rule show) || return 1
        printf '%s\n' "$lines" | while read -r priority from source lookup number rest; do
            case "$from $source $lookup $number" in
                "from all "* | "from "*/*" lookup "*) ;; # somebody else's: a start's are for single addresses
                "from $source lookup $table") echo "$family ${priority%:} $source" ;;
            esac
        done
    done
}

# Everything that is left here, as the arguments of the `ip` commands that remove it, one a line.
look() {
    devices=$(marked) || return 1
    found=$(rules) || return 1
    printf '%s\n' "$found" | while read -r family priority source; do
        [ -z "$family" ] || echo "$family rule del from $source table $table priority $priority"
    done
    table_addresses=$(printf '%s\n' "$found" | cut -d ' ' -f 3 | grep . || :)
    for one in $addresses $table_addresses; do
        case $one in */*) continue ;; esac
        places=$(places_of "$one") || return 1
        printf '%s\n' "$places" | while read -r device address; do
            [ -z "$device" ] || echo "address del $address dev $device"
        done
        if [ -z "$places" ]; then
            # shellcheck disable=SC2046  # two words
            set -- $(family_of "$one")
            [ "$1" = -4 ] || [ -e /proc/net/if_inet6 ] || continue
            routes=$(listed "$1" route show table local type local exact "$one/$2") || return 1
            case "$mode:$routes" in
                *:*" dev "*)
                    # An address that the system configured has such a route as well.
                    [ -n "$(listed -o "$1" address show to "$one/$2")" ] && continue
                    device=${routes#* dev }
                    echo "$1 route del local $one/$2 dev ${device%% *} table local"
                    ;;
            esac
        fi
    done
    printf '%s\n' "$devices" | while read -r device state; do
        [ -n "$device" ] || continue
        on_device=$(listed -o address show dev "$device") || exit 1
        printf '%s\n' "$on_device" | while read -r _index _name _family address _rest; do
            case $address in fe80:* | "") ;; *) echo "address del $address dev $device" ;; esac
        done
        [ "$state" = down ] || echo "link set dev $device down"
    done
}

if [ "$word" = monitor ]; then
    if [ -n "$eni" ]; then
        devices=$(marked) || unknown "ip fails"
        case "$devices$newline" in *" up$newline"*) done_with 0 ;; *) done_with 7 ;; esac
    fi
    here=0 wanted=0
    for one in $addresses; do
        wanted=$((wanted + 1))
        places=$(places_of "$one") || unknown "what has $one"
        up=no
        for device in $(printf '%s\n' "$places" | cut -d ' ' -f 1); do
            link=$(ip -o link show dev "$device") || unknown "$device was there and is not"
            case "$link" in *"<UP,"* | *",UP,"* | *",UP>"*) up=yes ;; esac
        done
        [ "$up" = no ] || here=$((here + 1))
    done
    [ "$here" -gt 0 ] || done_with 7
    [ "$here" -eq "$wanted" ] || unknown "only some of the addresses are here"
    done_with 0
fi

for round in 1 2 3 4; do
    left=$(look) || unknown "ip fails, or an address may be the node's own"
    if [ -z "$left" ]; then
        done_with 0
    fi
    [ "$round" -lt 4 ] || break
    printf '%s\n' "$left" | while read -r line; do
        case "$line" in
            "address del "*/32\ * | *:*) ;;
            # The kernel keeps the other addresses of the subnet.
            "address del "*) echo 1 2>/dev/null >"/proc/sys/net/ipv4/conf/${line##* }/promote_secondaries" || : ;;
        esac
        # shellcheck disable=SC2086  # a list of words
        failure=$(ip $line 2>&1) || printf 'ip %s: %s\n' "$line" "$failure" >&2
    done
done
end 1 "still here, remove it by hand: ip ${left%%"$newline"*}; $reason"
