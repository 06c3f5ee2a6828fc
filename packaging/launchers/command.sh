#!/bin/sh
# aws-ipfailover, in the version that is installed. One that runs is not disturbed by the next.
if cd -P /usr/lib/aws-ipfailover/current 2>/dev/null || cd -P /usr/lib/aws-ipfailover/package/@NAME@ 2>/dev/null; then
    tree=$PWD
    cd "${OLDPWD:-/}" 2>/dev/null || cd /
    for python in python @PYTHONS@; do
        if [ -x "$tree/bin/$python" ]; then
            exec "$tree/bin/$python" -IB -c 'import sys
try:
    from aws_ipfailover.cli.main import command
except Exception as error:
    sys.stderr.write(f"aws-ipfailover: the package is damaged, reinstall it ({error})\n")
    sys.exit(3)
command()' "$@"
        fi
    done
    echo "aws-ipfailover: no Python from @FIRST@ to @LAST@ is in /usr/bin, install one" >&2
else
    echo "aws-ipfailover: the package is not installed completely, reinstall it" >&2
fi
exit 3
