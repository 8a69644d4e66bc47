#!/usr/bin/env bash
# Builds the images of the Dockerfile without a daemon, on Debian 12, as root:
#
#   apt-get install buildah debootstrap
#   scripts/build-image.sh [training] [serving]
#
# The base image is made by debootstrap if it is not there. With Docker or Podman at
# hand use those; the Dockerfile is the same. Settings, all optional:
#
#   CA_BUNDLE=FILE   certificates for pip, where a proxy has its own; used in the build
#                    only, and part of no image
#   MIRROR=URL       Debian mirror
#   STORAGE=FOLDER   where buildah keeps images (vfs: whole copies, about 10 GB)
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=docker.io/library/debian:bookworm-slim
MIRROR=${MIRROR:-http://deb.debian.org/debian}
STORAGE=${STORAGE:-/var/lib/pairstream-images}
TARGETS=("${@:-training}")
[ $# -eq 0 ] && TARGETS=(training serving)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

images() {
    buildah --root "$STORAGE" --runroot "$STORAGE/run" --storage-driver vfs "$@"
}

make_base() {
    debootstrap --variant=minbase bookworm "$work/debian" "$MIRROR"
    rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
    local container
    container=$(images from scratch)
    images add --quiet "$container" "$work/debian" / >/dev/null
    images config --cmd bash "$container"
    images commit --rm --quiet "$container" "$BASE" >/dev/null
    rm -rf "$work/debian"
}

images inspect --type image "$BASE" >/dev/null 2>&1 || make_base

options=()
if [ -n "${CA_BUNDLE:-}" ]; then
    printf '[global]\ncert = /run/build-ca.crt\n' >"$work/pip.conf"
    options+=(--volume "$(realpath "$CA_BUNDLE"):/run/build-ca.crt:ro"
        --volume "$work/pip.conf:/etc/pip.conf:ro")
fi
for target in "${TARGETS[@]}"; do
    images build --isolation chroot --pull-never --format docker --target "$target" \
        "${options[@]}" --tag "pairstream-$target" .
done
images images
