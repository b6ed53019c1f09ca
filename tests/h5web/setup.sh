#!/usr/bin/env bash
# What the H5Web test needs: Chromium, and H5Web's own viewer built into build/ (5 MB; node_modules takes 210 MB).
# The versions are pinned in package.json. Then: pytest -m h5web
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ ! -x "${CHROMIUM:=/usr/bin/chromium}" ]; then
  echo "Chromium is missing: set CHROMIUM to its path; on Debian this installs it"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium
fi

npm install --no-package-lock --no-audit --no-fund --loglevel=error
mkdir -p build
cp index.html build/
npx esbuild page.jsx --bundle --format=esm --jsx=automatic --minify --define:process.env.NODE_ENV='"production"' \
  --outfile=build/page.js --log-level=warning
