# Start the Python program of this agent, @MODULE@. /usr/lib/aws-ipfailover/current leads to the version that is installed.
# Where it leads is looked at once, so that an operation that has begun ends in the version in which it began, whatever is
# installed meanwhile. During the very first installation, perhaps over an agent that pip installed and that is in use, the
# link is not there yet: then the files of the package itself are run, which are unpacked before this one.
#
# If the program does not load, because files of the package are damaged or gone, Python executes this file again, with the
# reason in AWS_IPFAILOVER_DAMAGED. What follows this part is for where Python cannot run it; `reason` says why.
if [ -n "${AWS_IPFAILOVER_DAMAGED-}" ]; then
    reason="the package aws-ipfailover is damaged, reinstall it ($AWS_IPFAILOVER_DAMAGED)"
    unset AWS_IPFAILOVER_DAMAGED
elif cd -P /usr/lib/aws-ipfailover/current 2>/dev/null || cd -P /usr/lib/aws-ipfailover/package/@NAME@ 2>/dev/null; then
    tree=$PWD
    cd "${OLDPWD:-/}" 2>/dev/null || cd /
    for python in python @PYTHONS@; do
        if [ -x "$tree/bin/$python" ]; then
            exec "$tree/bin/$python" -IB -c 'import sys; del sys.argv[0]
try:
    import @MODULE@ as module
    raise ImportError(f"{module.__file__} is empty")
except Exception as error:
    import os
    os.environ["AWS_IPFAILOVER_DAMAGED"] = f"{type(error).__name__}: {str(error)[:200]}"
    os.execv("/bin/sh", ["sh", *sys.argv])' "$0" "$@"
        fi
    done
    reason="no Python from @FIRST@ to @LAST@ is in /usr/bin, install one"
else
    reason="the package aws-ipfailover is not installed completely, reinstall it"
fi
