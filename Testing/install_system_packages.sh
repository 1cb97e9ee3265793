#!/usr/bin/env bash
# Debian and Ubuntu packages for the tests' Slicer host: software OpenGL (3D views), X libraries of Qt, a virtual display.
# Does nothing where all are there; says what to do where it cannot install.
set -euo pipefail

packages=(
  libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libopengl0              # OpenGL without a graphics card
  libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0       # Qt's xcb platform
  libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0
  libdbus-1-3 libfontconfig1 fonts-dejavu-core                        # Qt, text in pictures
  xvfb                                                                # `xvfb-run make slicer-host`
)

if ! command -v dpkg-query >/dev/null; then
  echo "install_system_packages.sh: no dpkg here; the host needs OpenGL (EGL), Qt's X libraries and Xvfb." >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "The Slicer host's 3D tests will be skipped. To run them: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
  echo "The Slicer host's 3D tests will be skipped: apt-get could not install ${missing[*]}" >&2
fi
