# What stands in for an agent whose software is not in the lab: to Pacemaker it runs on a node or it does not, and that is
# all. Sourced with $name, and $parameters, of which those that end in ! are required. What is on a node is gone with its
# power.
state="${HA_RSCTMP:-/run/resource-agents}/stand-in-$name-$OCF_RESOURCE_INSTANCE.state"

metadata() {
    cat <<END
<?xml version="1.0"?>
<resource-agent name="$name" version="1"><version>1.0</version>
<longdesc lang="en">A stand-in for tests: does nothing but run.</longdesc>
<shortdesc lang="en">Stand-in for $name</shortdesc>
<parameters>
END
    for parameter in $parameters; do
        required=0
        [ "$parameter" = "${parameter%!}" ] || required=1
        cat <<END
<parameter name="${parameter%!}" unique="0" required="$required"><longdesc lang="en">As that of $name.</longdesc>
<shortdesc lang="en">As that of $name</shortdesc><content type="string"/></parameter>
END
    done
    cat <<END
</parameters>
<actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s" depth="0"/>
<action name="validate-all" timeout="5s"/><action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
END
}

check() {
    for parameter in $parameters; do
        eval "value=\$OCF_RESKEY_${parameter%!}"
        if [ "$parameter" != "${parameter%!}" ] && [ -z "$value" ]; then
            echo "ocf-exit-reason:$name: parameter ${parameter%!} is missing" >&2
            exit 6
        fi
    done
}

act() {
    case "$1" in
    meta-data) metadata ;;
    validate-all) check ;;
    start) check && : >"$state" ;;
    stop) rm -f "$state" ;;
    monitor) [ -e "$state" ] || return 7 ;;
    *) return 3 ;;
    esac
}
