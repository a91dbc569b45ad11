#!/bin/sh
# Installs what the browser tests drive. Says what it cannot install; the tests that need it then skip with that word.
set -u
command -v chromium >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "chromium is not here and cannot be installed without apt-get and root: browser tests will be skipped"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null ||
  echo "chromium could not be installed: browser tests will be skipped"
