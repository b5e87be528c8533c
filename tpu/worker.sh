#!/usr/bin/env bash
# On each worker of a TPU, started there by tpu.sh over ssh. Training is a child of `run`, which belongs to no ssh
# session: it outlives the connection, and writes the exit code to the bucket, where it outlives the worker.
#
#   worker.sh setup JOB             Python and the package as JOB (gs://BUCKET/jobs/NAME) has them
#   worker.sh start JOB ATTEMPT     training in the background; the same ATTEMPT again changes nothing
#   worker.sh alive                 one line: number of the worker and `running`, its exit code, or `gone`
#   worker.sh stop SIGNAL           INT: a person's stop, TERM: the cloud's; killed if it does not end
set -euo pipefail

home=${BIO_HOME:-$HOME/bioinstruct}
state=$home/state # of the newest attempt: wrapper, child (process numbers), attempt, exit
mkdir -p "$state" "$home/logs"

fail() {
    printf 'error: worker %s: %s\n' "$(number)" "$1" >&2
    exit 1
}

number() {
    local metadata=http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-worker-number
    printf '%s' "${TPU_WORKER_ID:-$(curl -fsS --retry 5 -H 'Metadata-Flavor: Google' "$metadata")}"
}

content() { [ ! -f "$state/$1" ] || cat "$state/$1"; }

running() {
    local process
    process=$(content wrapper)
    [ -n "$process" ] && kill -0 "$process" 2>/dev/null && grep -qa worker.sh "/proc/$process/cmdline"
}

setup() {
    ! running || fail "training runs here (attempt $(content attempt)); stop it first: tpu/tpu.sh stop"
    gcloud storage cat "$1/job.env" >"$home/job.env"
    # shellcheck source=/dev/null
    . "$home/job.env"
    command -v uv >/dev/null || export PATH="$HOME/.local/bin:$PATH"
    [ "$(uv --version 2>/dev/null | cut -d' ' -f2)" = "$BIO_UV" ] || python3 -m pip install -q --user "uv==$BIO_UV"
    [ -x "$home/venv/bin/python" ] || uv venv -q --python "$BIO_PYTHON" "$home/venv"
    # gcs: the package's way into a bucket, and that of JAX's compile cache.
    set -- --python "$home/venv/bin/python" "$home/source[tpu,gcs]"
    [ -z "$BIO_CONSTRAINTS" ] || set -- "$@" --constraint "$home/source/$BIO_CONSTRAINTS"
    uv pip install -q --reinstall-package bioinstruct-jax "$@"
}

start() {
    [ "$(content attempt)" != "$2" ] || return 0 # it runs, or has ended: ssh was cut after it was started
    ! running || fail "attempt $(content attempt) still runs; stop it first: tpu/tpu.sh stop"
    set -m # or what is started would be born deaf to Ctrl-C
    setsid nohup bash "${BASH_SOURCE[0]}" run "$1" "$2" >"$home/logs/$2.log" 2>&1 </dev/null &
    for _ in $(seq 100); do
        [ "$(content attempt)" != "$2" ] || return 0
        sleep 0.1
    done
    fail "training did not start; see $home/logs/$2.log"
}

run() {
    local job=$1 attempt=$2 child code worker pause
    trap : TERM INT HUP # the child is told by the system; this shell stays to write down how it ended
    # shellcheck source=/dev/null
    . "$home/job.env"
    worker=$(number)
    rm -f "$state/exit" "$state/child"
    echo $$ >"$state/wrapper"
    echo "$attempt" >"$state/attempt"
    export JAX_COMPILATION_CACHE_DIR="$BIO_BUCKET/cache"
    export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
    cd "$home/source"
    set -m # as in `start`
    eval "exec \"\$home/venv/bin/python\" -m bioinstruct_jax.train $BIO_TRAIN" \
        '--name="$BIO_NAME" --runs_dir="$BIO_BUCKET/runs" --distributed' &
    child=$!
    echo "$child" >"$state/child"
    while :; do # a signal ends `wait` before the child has ended
        code=0
        wait "$child" || code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    echo "training ended with exit code $code"
    gcloud storage cp "$home/logs/$attempt.log" "$job/logs/$attempt-worker-$worker.log" || true
    for pause in 1 2 3 4 5; do
        printf '%s %s\n' "$worker" "$code" | gcloud storage cp - "$job/exits/$attempt/worker-$worker" && break
        sleep "$pause"
    done
    echo "$code" >"$state/exit"
}

alive() {
    local found=running
    running || found=$(content exit) # in this order: a wrapper that ends meanwhile has written its code
    printf '%s %s\n' "$(number)" "${found:-gone}"
}

stop() {
    local child
    running || return 0
    child=$(content child)
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null || true
    for _ in $(seq "${BIO_STOP_SECONDS:-300}"); do # a step and one save
        running || return 0
        sleep 1
    done
    kill -s KILL "$child" 2>/dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        running || return 0
        sleep 1
    done
    kill -s KILL "$(content wrapper)"
}

"$@"
