#!/bin/sh
# Becomes the command, with standard output and error in one stream, so that they arrive
# in the order in which they were written.
exec "$@" 2>&1
