#!/usr/bin/env bash
# Train on a rented TPU. `usage` says how; names, zones and versions stand in settings.env beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
again=$0 # as it was called, for the advice that is printed
exec 3>&1
# shellcheck source=tpu/cloud.sh
. "$here/cloud.sh"

usage() {
    cat <<'TEXT'
usage: tpu/tpu.sh VERB [OPTION]

  run          create, setup, launch and watch in one: from nothing to a finished run
  create       make the TPU, or wait for it (BIO_PROVISIONING: on-demand, spot, queued, queued-spot)
  setup        put this package, and a Python for it, on every worker
  launch       start the same training command on every worker; it outlives this terminal
  watch        wait for the end; make the TPU again after a preemption and go on with the run
  status       what there is, and how the workers are
  log [N]      follow what worker N (0) prints
  stop         end training as Ctrl-C does: after its step, with everything saved
  fetch [DIR]  copy the run folder, without checkpoints, to DIR/NAME (runs/NAME)
  delete       delete the TPU and its request; asks first

  --dry-run    print every command and run none
  --delete     of run and watch: delete the TPU once training has ended, however it ended
  --yes        of delete: do not ask
  --help       this text

Settings stand in tpu/settings.env; a variable of the environment wins: BIO_ZONE=us-east5-b tpu/tpu.sh run

Training ends by itself with an exit code, which each worker writes to the bucket; `watch` acts on it:
  0                     finished: the results are in the bucket
  75                    told to stop by the cloud, and saved: started again
  5, 134                another worker was lost: all are started again
  137, 139, 143         killed from outside: started again
  1, 2, 3, 4, 130       a mistake, unusable settings, a loss that is not finite, no room to save, a person's Ctrl-C:
                        not started again; `watch` ends with that code
If several workers differ, a code of the last row counts. A TPU that is deleted by hand is not made again.

Exit codes of this script: 0 done, 1 the cloud failed, 2 unusable command line or settings, 130 Ctrl-C, or training's own.
Whenever it fails it says what still exists, is paid for, and how to delete it.
TEXT
}

# -------------------------------------------------------------------- verbs

upload() { # what is to be run, so that a TPU made again later gets the same
    act tar -C "$root" --exclude=__pycache__ -czf "$scratch/source.tar.gz" \
        pyproject.toml README.md LICENSE bioinstruct_jax configs seeds tpu tests/constraints.txt ||
        fail "the package in $root cannot be packed"
    local name
    for name in BIO_BUCKET BIO_NAME BIO_TRAIN BIO_PYTHON BIO_UV BIO_CONSTRAINTS; do
        printf '%s=%q\n' "$name" "${!name:-}"
    done >"$scratch/job.env"
    [ "$dry" = no ] || sed 's/^/# job.env: /' "$scratch/job.env"
    insist act gcloud storage cp "$scratch/source.tar.gz" "$scratch/job.env" "$job/" ||
        fail "the bucket $BIO_BUCKET takes no files; is it there, and may you write to it?"
}

install() {
    insist act_on all "set -eo pipefail; mkdir -p ~/bioinstruct/source; \
gcloud storage cat '$job/source.tar.gz' | tar -xzf - -C ~/bioinstruct/source; \
bash ~/bioinstruct/source/tpu/worker.sh setup '$job'"
}

start() { # a new attempt; its name goes to the bucket first, so that a watcher that comes later finds it
    attempt=$(date -u +%Y%m%dT%H%M%S)-$RANDOM
    printf '%s\n' "$attempt" >"$scratch/attempt"
    insist act gcloud storage cp "$scratch/attempt" "$job/attempt" &&
        insist act_on all "bash ~/bioinstruct/source/tpu/worker.sh start '$job' '$attempt'"
}

stop_workers() { # SIGNAL; a worker that was never set up has nothing to stop
    insist act_on all "[ ! -d ~/bioinstruct/source/tpu ] || bash ~/bioinstruct/source/tpu/worker.sh stop $1"
}

workers_say() { # a line a worker: its number, and running, an exit code or gone
    ask_of '0 gone' all "[ ! -d ~/bioinstruct/source/tpu ] || bash ~/bioinstruct/source/tpu/worker.sh alive" |
        grep -E '^[0-9]+ (running|gone|[0-9]+)$' || true
}

refuse_if_running() { # SITUATION
    [ "$1" = READY ] || return 0
    ! workers_say | grep -q ' running$' ||
        fail "training runs on $BIO_NAME. Follow it: $again watch. End it, saved: $again stop" 2
}

need_ready() {
    local found
    found=$(situation)
    [ "$found" = READY ] || fail "the TPU $BIO_NAME is not READY but $found: $again create"
    refuse_if_running READY
}

begin() { # first|again: until training has started on every worker
    while :; do
        make_ready "$([ "$1" = first ] && echo READY || echo ABSENT)"
        if [ "$1" = first ] || stop_workers TERM; then
            if install && start; then return 0; fi
        fi
        case $(situation) in
            DEAD | WAITING | ABSENT) ;;
            *) fail "the workers of $BIO_NAME cannot be set up; their messages stand above" ;;
        esac
        warn "$BIO_NAME was preempted while it was set up"
        count_restart
    done
}

count_restart() {
    if ((++restarts > BIO_RESTARTS)); then
        over=yes
        fail "started again $BIO_RESTARTS times (BIO_RESTARTS) and not finished"
    fi
    back_off "$restarts"
}

# Of lines `worker code` on standard input, the verdict: `running`, `ending` (some have ended), `finished`, `again CODE`,
# `stop CODE`. A worker may take a peer that vanished for a mistake of its own (code 1), so 1 counts when all are known.
# Worker 0 writes the results and ends well only when all have come that far: its 0 needs no word of silent others.
judge() { # WORKERS patient|impatient
    local worker code ended=0 well=0 first='' lost='' wrong=''
    while read -r worker code; do
        [ -n "$worker" ] && [ "$code" != running ] || continue
        ((++ended))
        [ "$worker" != 0 ] || first=$code
        case $code in
            0) ((++well)) ;;
            75 | 5 | 134 | 137 | 139 | 143 | gone) lost=${lost:-$code} ;;
            1) wrong=${wrong:-1} ;;
            *) wrong=$code ;; # it says more than the 1 of a worker beside it
        esac
    done
    if ((ended == 0)); then
        echo "running"
    elif [ -n "$wrong" ] && [ "$wrong" != 1 ]; then
        echo "stop $wrong"
    elif ((well == $1)) || { ((well == ended)) && [ "$first/$2" = 0/impatient ]; }; then
        echo "finished"
    elif ((ended < $1)) && [ "$2" = patient ]; then
        echo "ending"
    elif [ -n "$wrong" ]; then
        echo "stop 1"
    else
        echo "again ${lost:-gone}"
    fi
}

newest_attempt() { # empty where none was launched; fails where the bucket does not answer
    ask ATTEMPT gcloud storage cat "$job/attempt" || grep -q 'matched no objects' "$errors"
}

watch() { # until training has ended for good
    local found verdict workers='' silent=0 unknown=0 looks=0 codes patience
    restarts=0 code=1
    if [ -z "${attempt:-}" ]; then
        attempt=$(insist newest_attempt) || {
            cat "$errors" >&2
            fail "the bucket $BIO_BUCKET does not answer"
        }
        [ -n "$attempt" ] || fail "no run named $BIO_NAME was launched with $BIO_BUCKET: $again run, or $again launch"
    fi
    say "watching attempt $attempt; Ctrl-C ends the watching, not the training"
    while :; do
        [ -n "$workers" ] || workers=$(worker_count) || workers=''
        ((++looks))
        codes=$(ask '' gcloud storage cat "$job/exits/$attempt/worker-*" || true)
        # A worker that was rebooted, or whose code did not reach the bucket, is known by itself alone.
        if ((looks % (BIO_CHECK_POLLS > 0 ? BIO_CHECK_POLLS : 1) == 0)); then
            codes=$(printf '%s\n' "$codes" "$(workers_say)" | awk 'NF == 2 && !seen[$1]++')
        fi
        found=$(situation)
        patience=patient
        if ((silent >= BIO_GRACE_POLLS)) || [ "$found" = DEAD ]; then patience=impatient; fi
        verdict=$(judge "${workers:-999999}" $patience <<<"$codes") # not known how many: not all have ended
        [ "$found" = UNKNOWN ] || unknown=0
        if [ "$dry" = yes ]; then
            plan_ahead
            code=0
            return 0
        fi
        case $verdict/$found in
            finished/*)
                code=0
                say "training has finished: $BIO_BUCKET/runs/$BIO_NAME"
                return 0
                ;;
            "stop 1/DEAD") restart "preempted" ;; # what a worker makes of a peer that vanished
            stop*)
                code=${verdict#stop }
                explain "$code"
                return 0
                ;;
            again*) restart "exit code ${verdict#again }" ;;
            */DEAD) restart "preempted" ;;
            */ABSENT) fail "$BIO_NAME is gone, deleted by hand. The run goes on with: $again run" ;;
            */UNKNOWN)
                ((++unknown < 10 * BIO_TRIES)) || fail "the cloud has not answered $unknown times in a row; training may go on"
                warn "the cloud does not answer: $(tail -n 1 "$errors" 2>/dev/null)"
                back_off "$unknown"
                ;;
            */READY | */WAITING)
                [ "$verdict" = running ] || ((++silent))
                pause "$BIO_POLL"
                ;;
            *) by_hand "$found" ;;
        esac
    done
}

restart() { # REASON; sets what watch knows of the attempt
    local newest
    newest=$(newest_attempt || true)
    if [ -n "$newest" ] && [ "$newest" != "$attempt" ]; then # another watcher was faster
        attempt=$newest
    else
        say "$1: the run is started again ($((restarts + 1)) of at most $BIO_RESTARTS)"
        count_restart
        begin again
    fi
    workers='' silent=0 looks=0
    say "watching attempt $attempt"
}

explain() {
    local log="Its last words: gcloud storage cat '$job/logs/$attempt-worker-0.log'"
    case $1 in
        2) say "training refuses its settings or input (exit code 2). Mend what it names, then: $again run. $log" ;;
        3) say "loss or gradient are not finite (exit code 3). BIO_TRAIN needs another setting and --accept_changes. $log" ;;
        4) say "checkpoints cannot be written (exit code 4): see to the bucket and its rights, then: $again run. $log" ;;
        130) say "training was ended by a person (exit code 130) and has saved; to go on: $again run" ;;
        *) say "training ended with exit code $1, which starting again would not mend. $log" ;;
    esac
}

plan_ahead() { # what a watcher would do, for a dry run
    say "# ... again every $BIO_POLL seconds. Every $BIO_CHECK_POLLS times the workers themselves are asked:"
    workers_say >/dev/null
    say "# after a preemption (75, 5, 134, 137, 139, 143 on a TPU that stands: without delete and create):"
    remove
    begin again
}

fetch() { # [DIR]
    local to=${1:-runs}/$BIO_NAME
    act mkdir -p "$to"
    insist act gcloud storage rsync --recursive --exclude='^checkpoints/' "$BIO_BUCKET/runs/$BIO_NAME" "$to" ||
        fail "the run folder $BIO_BUCKET/runs/$BIO_NAME cannot be copied"
    [ "$dry" = yes ] || [ -f "$to/finished.json" ] || say "The run is not finished: there is no $to/finished.json yet."
    say "results: $to"
}

delete() {
    local answer
    if [ "$yes" = no ] && [ "$dry" = no ]; then
        [ -t 0 ] || fail "delete asks first, and there is no terminal to ask at: add --yes" 2
        remains
        read -r -p "Delete TPU and request $BIO_NAME in $BIO_ZONE? The bucket stays. [y/N] " answer || true
        case $answer in y | Y | yes) ;; *) fail "nothing was deleted" 2 ;; esac
    fi
    remove
    [ "$dry" = yes ] || say "There is no TPU or request named $BIO_NAME in $BIO_ZONE; the bucket $BIO_BUCKET stays."
}

status() {
    remains
    [ "$(situation)" != READY ] || workers_say >&3
    say "newest attempt: $(newest_attempt)"
}

ended() { # however this script ends
    local result=$?
    trap - INT TERM HUP
    if ((result >= 129)) && [ -n "$attempt" ]; then
        say "Nobody watches any more; training, once started, goes on. Back to it: $again watch"
    fi
    if [ "$over$delete" = yesyes ]; then (remove) || true; fi
    if ((result != 0)) && [ "$ready" = yes ] && [ "$dry" = no ]; then remains || true; fi
    rm -rf "$scratch"
    exit "$result"
}

finish() { # after watching: `code` is training's, 1 where it has not been seen
    over=yes
    [ "$code" != 0 ] || say "Fetch the results: $again fetch"
    if [ "$code" = 0 ] && [ "$dry$delete" = nono ]; then remains; fi
    if [ "$dry$delete" = yesyes ]; then remove; fi
    exit "$code"
}

# -------------------------------------------------------------------- command line

verb='' argument='' yes=no delete=no ready=no
attempt='' restarts=0 over=no # `over`: training has ended for good
for word in "$@"; do
    case $word in
        --dry-run) dry=yes ;;
        --yes) yes=yes ;;
        --delete) delete=yes ;;
        -h | --help) usage && exit 0 ;;
        -*) fail "unknown option $word; see $again --help" 2 ;;
        *)
            if [ -z "$verb" ]; then verb=$word; elif [ -z "$argument" ]; then argument=$word; else fail "too many words: $word" 2; fi
            ;;
    esac
done
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
case $verb in
    run | create | setup | launch | watch | status | log | stop | fetch | delete) ;;
    '') usage >&2 && exit 2 ;;
    *) fail "unknown verb $verb; see $again --help" 2 ;;
esac
case $verb/$argument in log/* | fetch/* | */) ;; *) fail "$verb takes no word $argument" 2 ;; esac
case $verb/$delete in run/* | watch/* | */no) ;; *) fail "--delete belongs to run and watch" 2 ;; esac
settings
ready=yes # from here on there may be something that is paid for
case $verb in
    run)
        refuse_if_running "$(situation ABSENT)"
        make_ready
        upload
        begin first
        watch
        finish
        ;;
    create)
        make_ready
        [ "$dry" = yes ] || remains
        ;;
    setup)
        need_ready
        upload
        install || fail "the workers cannot be set up; their messages stand above"
        ;;
    launch)
        need_ready
        start || fail "training did not start on every worker; to be sure: $again stop"
        say "Follow it: $again watch"
        ;;
    watch)
        watch
        finish
        ;;
    status) status ;;
    log) act_on "${argument:-0}" "tail -n 100 -F \"\$(ls -t ~/bioinstruct/logs/*.log | head -n 1)\"" ;;
    stop) stop_workers INT || fail "not every worker could be told; look with: $again status" ;;
    fetch) fetch "$argument" ;;
    delete) delete ;;
esac
