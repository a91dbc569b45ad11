#!/bin/sh
# Installs what `make bench` measures with and against. Says what it cannot install; that row is then skipped.
set -u
wanted="wrk nginx libnginx-mod-http-geoip2 haproxy caddy"
missing=""
for package in $wanted; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "not here, and not to be installed without apt-get and root:$missing"
  exit 0
fi
# The packages would start their servers on this machine's ports; policy-rc.d (Debian) keeps them from it.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
for package in $missing; do
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null || echo "$package could not be installed"
done
