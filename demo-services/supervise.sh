#!/bin/sh
# `supervise.sh PROGRAM …`: runs it, and starts it again when it has ended by itself, after a second or after what it has
# left in $TMPDIR/down-ms. A container's first process, so that a crash ends neither the container nor the network
# namespace that the sidecar shares with it.
down=${TMPDIR:-/tmp}/down-ms
rm -f "$down"
child=
stop() {
  trap - TERM INT
  [ -z "$child" ] || kill -KILL "$child" 2>/dev/null
  exit 0
}
trap stop TERM INT
while :; do
  "$@" &
  child=$!
  wait "$child"
  ended=$?
  ms=1000
  if [ -f "$down" ]; then
    ms=$(cat "$down")
    rm -f "$down"
  fi
  echo "ended with $ended, starts again in $ms ms" >&2
  sleep "$((ms / 1000)).$(printf %03d "$((ms % 1000))")" &
  child=$!
  wait "$child"
done
