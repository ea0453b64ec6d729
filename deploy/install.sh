#!/bin/sh
# Installs this release on a host, or upgrades the one that is there; containers go on meanwhile.
#
#   tar -xzf tsswarm-VERSION-linux-ARCH.tar.gz && sudo tsswarm-VERSION-linux-ARCH/deploy/install.sh
#
# It puts the release into /opt/tsswarm/VERSION and the command into /usr/local/bin, installs the
# Debian packages whose command is missing (and never removes one), makes the group `tsswarm`, an
# example of settings in /etc/tsswarm, the files that keep network managers from the containers'
# links, and the systemd units where systemd runs the host.
# `--no-start` leaves the units stopped; `--uninstall` removes what this script made, and leaves
# /etc/tsswarm and /var/lib/tsswarm (the node's identity and data) to you.
set -eu

here=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd)
prefix=/opt/tsswarm
command=/usr/local/bin/tsswarm
units='tsswarm-keeper.service tsswarm.service'
start=yes
uninstall=no

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

say() { printf '%s\n' "$*"; }

for argument in "$@"; do
  case $argument in
    --no-start) start=no ;;
    --uninstall) uninstall=yes ;;
    -h | --help)
      sed -n '2,/^set -eu$/s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "$argument is no option: --no-start, --uninstall" ;;
  esac
done

[ "$(id -u)" = 0 ] || fail 'run it as root'
[ "$(uname -s)" = Linux ] || fail 'a release is for Linux'

has_systemd() { [ -d /run/systemd/system ]; }

# Links that a network manager must leave alone (docs/networking.md).
each_host_file() {
  "$1" tsswarm-networkd.network /etc/systemd/network/10-tsswarm.network /etc/systemd
  "$1" tsswarm-link.link /etc/systemd/network/10-tsswarm.link /etc/systemd
  "$1" tsswarm-networkmanager.conf /etc/NetworkManager/conf.d/tsswarm.conf /etc/NetworkManager
}

# Only where the program that reads it is at home.
put_host_file() {
  [ -d "$3" ] || return 0
  mkdir -p "${2%/*}"
  install -m 0644 "$here/deploy/host/$1" "$2"
}

remove_host_file() { rm -f "$2"; }

if [ "$uninstall" = yes ]; then
  if has_systemd; then
    for unit in tsswarm.service tsswarm-keeper.service; do
      systemctl disable --now "$unit" 2>/dev/null || true
      rm -f "/etc/systemd/system/$unit"
    done
    systemctl daemon-reload
  fi
  each_host_file remove_host_file
  rm -f "$command"
  rm -rf "$prefix"
  say 'Removed tsswarm. Kept: /etc/tsswarm, /var/lib/tsswarm, the group tsswarm, packages, and'
  say 'containers that still run, with their containerd: leave the cluster first to end them.'
  exit 0
fi

version=$("$here/bin/node" -p 'require(process.argv[1]).version' "$here/package.json") ||
  fail "$here is no release for this processor ($(uname -m))"

"$here/deploy/packages.sh" containerd:containerd containerd-shim-runc-v2:containerd runc:runc \
  nft:nftables ip:iproute2 conntrack:conntrack nsenter:util-linux flock:util-linux ||
  fail 'install these packages, then run it again'

getent group tsswarm >/dev/null || groupadd --system tsswarm

# Beside the old version, so that a failure leaves what runs; the last step changes over.
target=$prefix/$version
if [ "$here" != "$target" ]; then
  mkdir -p "$prefix"
  rm -rf "$target.new" "$target.old"
  cp -R "$here" "$target.new"
  chown -R root:root "$target.new"
  [ ! -e "$target" ] || mv "$target" "$target.old"
  mv "$target.new" "$target"
  rm -rf "$target.old"
fi
# What Node compiles at a start is kept for the next one.
mkdir -p "$target/compiled" "${command%/*}"
ln -sfn "$target/bin/tsswarm" "$command.new"
mv -fT "$command.new" "$command"
"$command" --version >/dev/null || fail "$command does not start"

mkdir -p /etc/tsswarm /var/lib/tsswarm/images
chmod 0700 /var/lib/tsswarm
[ -e /etc/tsswarm/daemon.json ] ||
  install -m 0644 "$here/deploy/host/daemon.json" /etc/tsswarm/daemon.json
each_host_file put_host_file

if has_systemd; then
  for unit in $units; do
    install -m 0644 "$here/deploy/systemd/$unit" "/etc/systemd/system/$unit"
  done
  systemctl daemon-reload
  udevadm control --reload 2>/dev/null || true
  if [ "$start" = yes ]; then
    # Word splitting is wanted: two units.
    # shellcheck disable=SC2086
    systemctl enable $units >/dev/null 2>&1
    # Containers wait for no one meanwhile: their pipes and ports are taken over (docs/keeper.md).
    # shellcheck disable=SC2086
    systemctl restart $units
  fi
fi

say "tsswarm $version is installed: $command"
if has_systemd && [ "$start" = yes ]; then
  say 'The daemon runs (journalctl -u tsswarm). Next: tsswarm init, or tsswarm join.'
else
  say 'Start the daemon as root: tsswarm daemon --config /etc/tsswarm/daemon.json'
fi
