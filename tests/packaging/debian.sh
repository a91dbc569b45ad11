#!/bin/sh
# Installs what the tests drive from Debian, where it is missing: browsers, what loads HTTP/2, shared caches, a database.
# Says what it cannot install; the tests that need it then skip with that word.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"
for folder in /usr/lib/postgresql/*/bin; do
  PATH="$PATH:$folder"
done

missing=""
while read -r program package; do
  command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <<END
chromium chromium
curl curl
h2load nghttp2-client
initdb postgresql
nginx nginx-light
varnishd varnish
END
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "not here, and not installable without apt-get and root:$missing; the tests that need them will be skipped"
  exit 0
fi

# The tests start their own servers: what is installed here must not start as a service.
rules=/usr/sbin/policy-rc.d
if [ ! -e "$rules" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$rules" && chmod 755 "$rules" && trap 'rm -f "$rules"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
for package in $missing; do
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
    echo "$package could not be installed: the tests that need it will be skipped"
done
