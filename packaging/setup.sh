#!/bin/sh
# What the package aws-ipfailover does on a node beside unpacking its files. Its scripts run this file, and so may root:
#
#   setup configure     make the package's version the one that operations run: at the end of an installation
#   setup interpreter   choose a Python anew, if the chosen one is gone
#   setup may-remove    fail, with the reason, while a running cluster's configuration uses the agent
#   setup remove        remove what `configure` has made
#   setup purge         remove also what the agent remembers between its operations
#
# The package's own files, in package/, are never run: operations run in versions/NAME, which is made of them by hard links,
# compiled, and then shown to new operations by exchanging the link `current`. So an operation finds a whole version, old
# or new, at every moment of an upgrade, and one that has begun ends in the version in which it began. The version before
# the current one is kept for these; older ones go when no process runs in them.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
home=/usr/lib/aws-ipfailover
pythons="@PYTHONS@"
package=@NAME@ # the version, and a digest of what is in it: another build of the same version is another one

say() {
    printf 'aws-ipfailover: %s\n' "$1" >&2
}

# Print the name in bin/ of the Python of tree $1 that is to be used: that of /usr/bin/python3 where it is supported, else
# the newest. Fails where there is none that works.
choose() {
    default=$(readlink -f /usr/bin/python3 2>/dev/null || :)
    for candidate in "${default##*/}" $pythons; do
        case " $pythons " in *" $candidate "*) ;; *) continue ;; esac
        if works "$1/bin/$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Whether the Python $1 has what the agent needs of its standard library: distributions split it into packages.
works() {
    [ -x "$1" ] && "$1" -I -c 'import ctypes, ipaddress, json, ssl, urllib.request, xml.etree.ElementTree' >/dev/null 2>&1
}

# Compile the modules of tree $1 for its Python; in the bytecode its name is $2. The agent runs also without: it only starts
# slower. Entry by entry, because compileall passes over directories that are links. $3: an option for all of it.
compile_all() {
    modules=$("$1/bin/python" -I -c 'import sys
print([one for one in sys.path if one.endswith("/site-packages")][0])')
    # shellcheck disable=SC2086  # an option, or none
    nice "$1/bin/python" -I -m compileall -q $3 -s "$1" -p "$2" "$modules"/* >/dev/null 2>&1 ||
        say "not all bytecode could be written: the agent starts slower"
}

# Let the link $1 lead to $2 from one moment to the next.
link() {
    ln -s "$2" "$1.new.$$"
    mv -T "$1.new.$$" "$1"
}

no_python() {
    say "no usable Python: none of $pythons is in /usr/bin with the whole standard library; install one: the agent can only be stopped until then"
}

# Copy the directory $1 to $2 by hard links, on a file system that has none as files.
copy() {
    cp -al "$1" "$2" 2>/dev/null && return
    rm -rf "$2"
    cp -a "$1" "$2"
}

is_whole() {
    [ -d "$1" ] && (cd "$1" && sha256sum --check --status SHA256SUMS) &&
        [ "$(links_of "$1")" = "$(links_of "$home/package/$package")" ]
}

# The symbolic links of a tree, but the one to the Python that was chosen.
links_of() {
    (cd "$1" && find . -type l ! -path ./bin/python -printf '%p %l\n' | LC_ALL=C sort)
}

configure() {
    mkdir -p "$home/versions"
    name=$package
    before=$(readlink "$home/current" 2>/dev/null || :)
    if [ -d "$home/versions/$name" ] && ! is_whole "$home/versions/$name"; then
        say "versions/$name is damaged and is made anew"
        name=$name.$(date +%s)
    fi
    if [ -d "$home/versions/$name" ]; then
        # Bytecode that was cut off when the power went keeps Python from loading what is whole.
        if python=$(choose "$home/versions/$name"); then
            link "$home/versions/$name/bin/python" "$python"
            compile_all "$home/versions/$name" "$home/versions/$name" -f
        fi
    else
        new=$home/versions/.new.$$
        trap 'rm -rf "$new"' EXIT
        copy "$home/package/$package" "$new"
        if python=$(choose "$new"); then
            ln -s "$python" "$new/bin/python"
            compile_all "$new" "$home/versions/$name" ""
        else
            no_python
        fi
        mv -T "$new" "$home/versions/$name"
        trap - EXIT
    fi
    tell_fapolicyd "$home/versions/$name"
    link "$home/current" "versions/$name"
    interpreter
    [ "$before" = "versions/$name" ] || clean "versions/$name" "$before"
}

# Remove versions but $1 and $2; one in which a process runs stays until the next time.
clean() {
    for tree in "$home"/versions/* "$home"/versions/.new.*; do
        [ -d "$tree" ] || continue
        case "versions/${tree##*/}" in "$1" | "$2" | "versions/.new.$$") continue ;; esac
        if ! in_use "$tree"; then
            rm -rf "$tree"
            ! command -v fapolicyd-cli >/dev/null 2>&1 ||
                fapolicyd-cli --file delete "$tree/" --trust-file aws-ipfailover >/dev/null 2>&1 || :
        fi
    done
    rm -f "$home"/current.new.* # of an installation that was killed
}

in_use() {
    for process in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -qF "$1/"; then
            return 0
        fi
    done
    return 1
}

interpreter() {
    tree=$(readlink -f "$home/current" 2>/dev/null) || return 0
    [ -d "$tree" ] || return 0
    ! works "$tree/bin/python" || return 0
    if python=$(choose "$tree"); then
        link "$tree/bin/python" "$python"
        compile_all "$tree" "$tree" ""
        tell_fapolicyd "$tree"
        say "runs with /usr/bin/$python from now on"
    else
        no_python
    fi
}

# fapolicyd, where it runs, denies an interpreter the modules that neither the package manager nor its own list vouches for;
# the copies in versions/ have other paths than the package's files, and bytecode is in no package. It takes a new list in
# by and by, so that the tree $1 is waited for: operations are to run in it next.
tell_fapolicyd() {
    command -v fapolicyd-cli >/dev/null 2>&1 || return 0
    fapolicyd-cli --file delete "$1/" --trust-file aws-ipfailover >/dev/null 2>&1 || :
    fapolicyd-cli --file add "$1/" --trust-file aws-ipfailover >/dev/null 2>&1 || return 0
    fapolicyd-cli --update >/dev/null 2>&1 || return 0 # it does not run
    [ -x "$1/bin/python" ] || return 0
    for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        ! "$1/bin/python" -IB -c 'import aws_ipfailover.agent' >/dev/null 2>&1 || return 0
        sleep 1
    done
    say "does not load after $second seconds: fapolicyd may deny it; see fapolicyd --debug-deny"
}

# The names of the resource types that this package's agents have here, also under other names, as a regular expression.
types() {
    all="aws-ipfailover|aws-ipfailover-health"
    for path in /usr/lib/ocf/resource.d/*/*; do
        if [ -L "$path" ] && [ "$(readlink -f "$path")" = /usr/lib/ocf/resource.d/heartbeat/aws-ipfailover ]; then
            all="$all|$(printf '%s' "${path##*/}" | sed 's/[.]/[.]/g')"
        fi
    done
    echo "$all"
}

# Whether the program $1 runs on this node. Those in containers, which have process ids of their own, do not count.
runs() {
    here=$(readlink /proc/self/ns/pid)
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = "$1" ] && [ "$(readlink "$process/ns/pid")" = "$here" ]; then
            return 0
        fi
    done
    return 1
}

may_remove() {
    runs pacemakerd || return 0
    if ! cib=$(timeout 20 cibadmin --query --local 2>&1); then
        say "not removed: Pacemaker runs on this node and does not tell whether its configuration uses the agent"
        printf '%s\n' "$cib" | head -n 3 >&2
        say "try again when 'cibadmin --query --local' answers, or stop Pacemaker here"
        return 1
    fi
    used=$(printf '%s\n' "$cib" | grep -oE '<(primitive|template)[[:space:]][^>]*>' |
        grep -E "[[:space:]]type=\"($(types))\"" | sed 's/.*[[:space:]]id="\([^"]*\)".*/\1/' | tr '\n' ' ' || :)
    [ -n "$used" ] || return 0
    say "not removed: the configuration of the running cluster uses the agent: ${used% }"
    say "without its agent Pacemaker cannot stop a resource, and fences the node; delete these resources first, or stop Pacemaker on this node"
    return 1
}

remove() {
    for path in /usr/lib/ocf/resource.d/*/*; do
        if [ -L "$path" ] && [ "$(readlink "$path")" = /usr/lib/ocf/resource.d/heartbeat/aws-ipfailover ]; then
            rm -f "$path"
            rmdir "$(dirname "$path")" 2>/dev/null || :
        fi
    done
    rm -f /etc/fapolicyd/trust.d/aws-ipfailover
    rm -rf "$home/current" "$home"/current.new.* "$home/versions"
    rmdir "$home" 2>/dev/null || :
}

purge() {
    remove
    rm -rf /run/resource-agents/aws-ipfailover*
}

case "${1-}" in
    configure) configure ;;
    interpreter) interpreter ;;
    may-remove) may_remove ;;
    remove) remove ;;
    purge) purge ;;
    *)
        echo "usage: setup configure | interpreter | may-remove | remove | purge" >&2
        exit 2
        ;;
esac
