#!/bin/sh
# Installs the Debian packages whose command is missing, and no other: `packages.sh COMMAND:PACKAGE…`.
# It never removes a package: where apt would, it stops and prints the command to decide on (Docker's
# containerd.io, for example, excludes Debian's containerd, but brings the same command).
# Exit code: 0 every command is there, 1 not, 2 not and there is no apt to help.
set -eu

fail() {
  status=$1
  shift
  printf '%s\n' "$@" >&2
  exit "$status"
}

has() {
  case $1 in
    # The image that is built from it needs its web server, and no libraries.
    busybox) [ -x /bin/busybox ] && busybox --list | grep -qx httpd ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

# Commands of administrators are not in every user's path.
PATH=$PATH:/usr/sbin:/sbin

missing=
for pair in "$@"; do
  has "${pair%%:*}" && continue
  case " $missing " in *" ${pair#*:} "*) ;; *) missing="$missing ${pair#*:}" ;; esac
done
missing=${missing# }
[ -n "$missing" ] || exit 0

# Word splitting is wanted below: these are names of packages.
by_hand="apt-get install --no-install-recommends $missing"
command -v apt-get >/dev/null 2>&1 ||
  fail 2 "missing: $missing" "install these with this system's package manager"
[ "$(id -u)" = 0 ] || fail 1 "missing: $missing" "as root: $by_hand"

printf 'installing %s\n' "$missing" >&2
apt-get update -qq || printf 'apt-get update failed, going on with the lists that are there\n' >&2
# shellcheck disable=SC2086
plan=$(apt-get install --simulate --no-install-recommends $missing 2>&1) || fail 1 "$plan"
removals=$(printf '%s\n' "$plan" | sed -n 's/^Remv //p')
[ -z "$removals" ] ||
  fail 1 "apt would remove packages for $missing:" "$removals" "decide yourself: $by_hand"
# Runlevel 1 keeps what is installed from starting services where there is no systemd.
# shellcheck disable=SC2086
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  --no-remove -o Dpkg::Use-Pty=0 $missing >&2 || fail 1 "installing failed; try: $by_hand"
for pair in "$@"; do
  has "${pair%%:*}" || fail 1 "package ${pair#*:} is installed, but ${pair%%:*} cannot be found"
done
