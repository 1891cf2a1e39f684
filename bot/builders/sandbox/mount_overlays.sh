#!/bin/sh
# Mounts overlays inside a sandbox that root has set up, then becomes the command.
# Called with the targets, `--`, and the command; the parts of overlay N lie in
# /run/overlays/N. Only for versions of bubblewrap that have no overlays themselves.
set -eu
number=0
while [ "$1" != -- ]; do
    parts=/run/overlays/$number
    /bin/mount -i -n -t overlay overlay \
        -o "lowerdir=$parts/source,upperdir=$parts/changes/upper,workdir=$parts/changes/work" "$1"
    number=$((number + 1))
    shift
done
shift
exec "$@"
