#!/usr/bin/env bash
# tests/run.sh COMMAND...: runs each, which ends with a line "N passed, N failed[, N skipped]", and adds them up.
. "$(dirname "$0")/check.sh"
# shellcheck disable=SC2086
for command in "$@"; do counted $command; done
echo "== all"
finish
