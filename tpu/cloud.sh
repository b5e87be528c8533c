# shellcheck shell=bash
# What the verbs of tpu.sh have in common: asking the cloud, acting on it, trying again, and saying what is left.
# Nothing here needs a bash newer than 3.2.
# shellcheck disable=SC2034,SC2154 # names are shared with tpu.sh

dry=no
scratch=$(mktemp -d)
errors=$scratch/errors # standard error of the newest command that may fail

say() { printf '%s\n' "$*" >&3; }
warn() { printf 'warning: %s\n' "$*" >&2; }

fail() { # MESSAGE [EXIT CODE]
    printf 'error: %s\n' "$1" >&2
    exit "${2:-1}"
}

shown() {
    printf '+' >&3
    printf ' %q' "$@" >&3
    printf '\n' >&3
}

act() { # a command that changes something
    shown "$@"
    [ "$dry" = yes ] || "$@" </dev/null
}

ask() { # ANSWER COMMAND...: what the command prints; in a dry run, ANSWER
    local answer=$1
    shift
    if [ "$dry" = yes ]; then
        shown "$@"
        printf '%s\n' "$answer"
    else
        "$@" </dev/null 2>"$errors"
    fi
}

pause() { # SECONDS; answers signals at once
    [ "$dry" = yes ] && return
    sleep "$1" >/dev/null 2>&1 3>&- &
    wait $!
}

back_off() { # TIMES FAILED SO FAR
    local seconds=$BIO_BACKOFF count
    for ((count = 1; count < $1 && seconds < BIO_BACKOFF_MAX; count++)); do seconds=$((2 * seconds)); done
    pause "$((seconds < BIO_BACKOFF_MAX ? seconds : BIO_BACKOFF_MAX))"
}

insist() { # COMMAND...: up to BIO_TRIES times
    local count
    for ((count = 1; ; count++)); do
        if "$@"; then return 0; fi
        ((count < BIO_TRIES)) || return 1
        warn "try $count of $BIO_TRIES failed"
        back_off "$count"
    done
}

settings() { # read them, and refuse what cannot work
    local file=${BIO_SETTINGS:-$here/settings.env} name
    [ -f "$file" ] || fail "no settings file $file: BIO_SETTINGS names it" 2
    # shellcheck source=tpu/settings.env
    . "$file"
    for name in BIO_PROJECT BIO_BUCKET BIO_NAME BIO_ZONE BIO_ACCELERATOR BIO_RUNTIME BIO_TRAIN; do
        [ -n "${!name:-}" ] || fail "$name is empty: give it in $file or in the environment" 2
    done
    [[ $BIO_BUCKET =~ ^gs://[a-z0-9][a-z0-9._-]*[a-z0-9](/[^/[:space:]]+)*$ ]] ||
        fail "BIO_BUCKET $BIO_BUCKET: gs://NAME or gs://NAME/FOLDER is needed, without a slash at the end" 2
    [[ $BIO_NAME =~ ^[a-z][a-z0-9-]{0,60}[a-z0-9]$ ]] ||
        fail "BIO_NAME $BIO_NAME: small letters, digits and hyphens, a letter first, 2 to 62 in all" 2
    case $BIO_PROVISIONING in
        on-demand | spot | queued | queued-spot) ;;
        *) fail "BIO_PROVISIONING $BIO_PROVISIONING: on-demand, spot, queued or queued-spot" 2 ;;
    esac
    for name in TRIES CREATE_TRIES READY_POLLS RESTARTS BACKOFF BACKOFF_MAX GRACE_POLLS CHECK_POLLS; do
        name=BIO_$name
        [[ ${!name} =~ ^[0-9]+$ ]] || fail "$name ${!name}: a whole number is needed" 2
    done
    [[ $BIO_POLL =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "BIO_POLL $BIO_POLL: a number of seconds is needed" 2
    where=(--project="$BIO_PROJECT" --zone="$BIO_ZONE" --quiet)
    job=$BIO_BUCKET/jobs/$BIO_NAME
    [ "$dry" = yes ] || command -v gcloud >/dev/null ||
        fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install" 2
}

# -------------------------------------------------------------------- what there is

described() { # ANSWER COMMAND...: a state in the cloud's words, ABSENT, or UNKNOWN where the cloud does not answer
    local found
    if found=$(ask "$@"); then
        printf '%s\n' "${found:-UNKNOWN}"
    elif grep -qiE 'NOT_FOUND|was not found' "$errors"; then
        echo ABSENT
    else
        echo UNKNOWN
    fi
}

node_state() {
    described "${1:-READY}" gcloud compute tpus tpu-vm describe "$BIO_NAME" "${where[@]}" --format='value(state)'
}

queue_state() {
    described "${1:-ACTIVE}" \
        gcloud compute tpus queued-resources describe "$BIO_NAME" "${where[@]}" --format='value(state.state)'
}

# READY, ABSENT, WAITING (on its way in or out), DEAD (preempted or failed: to be deleted and made again), UNKNOWN, or
# a state that a person brought about, such as STOPPED. The argument is what a dry run assumes: READY or ABSENT.
situation() {
    local queue=NONE node
    case $BIO_PROVISIONING in
        queued*) queue=$(queue_state "$([ "${1:-READY}" = ABSENT ] && echo ABSENT || echo ACTIVE)") ;;
    esac
    case $queue in
        NONE | ABSENT | ACTIVE) node=$(node_state "${1:-READY}") ;;
        FAILED | SUSPENDED) node=PREEMPTED ;;
        UNKNOWN) node=UNKNOWN ;;
        *) node=CREATING ;; # WAITING_FOR_RESOURCES, PROVISIONING, SUSPENDING, ...
    esac
    case $queue/$node in
        ACTIVE/ABSENT | */PREEMPTED | */TERMINATED) echo DEAD ;;
        */CREATING | */STARTING | */STOPPING | */RESTARTING | */REIMAGING | */REPAIRING | */DELETING) echo WAITING ;;
        *) echo "$node" ;;
    esac
}

remains() { # what exists, and how to end paying for it
    local queue node
    node=$(node_state) queue=$(queue_state)
    [ "$dry" = no ] || return 0
    if [ "$queue/$node" = ABSENT/ABSENT ]; then
        say "There is no TPU or request named $BIO_NAME in $BIO_ZONE; only the bucket is paid for."
        return 0
    fi
    case $node in
        ABSENT | UNKNOWN) ;;
        *) say "The TPU $BIO_NAME in $BIO_ZONE still exists ($node) and is PAID FOR." ;;
    esac
    case $queue in
        ABSENT | UNKNOWN) ;;
        *) say "The request $BIO_NAME in $BIO_ZONE still exists ($queue): it is a TPU or may become one." ;;
    esac
    case $queue/$node in
        *UNKNOWN*)
            say "The cloud does not say whether all of $BIO_NAME in $BIO_ZONE still exists; what does is PAID FOR. Look:"
            say "    gcloud compute tpus tpu-vm list --project=$BIO_PROJECT --zone=$BIO_ZONE"
            say "    gcloud compute tpus queued-resources list --project=$BIO_PROJECT --zone=$BIO_ZONE"
            ;;
    esac
    say "Delete: $again delete --yes"
}

by_hand() { # STATE
    fail "the TPU $BIO_NAME is $1, by somebody's hand: start it, or delete it with: $again delete"
}

# -------------------------------------------------------------------- making and deleting

request() { # one request for a TPU
    local flags=("${where[@]}" --accelerator-type="$BIO_ACCELERATOR" --scopes=https://www.googleapis.com/auth/cloud-platform)
    case $BIO_PROVISIONING in *spot) flags+=(--spot) ;; esac
    case $BIO_PROVISIONING in
        queued*)
            act gcloud compute tpus queued-resources create "$BIO_NAME" --node-id="$BIO_NAME" "${flags[@]}" \
                --runtime-version="$BIO_RUNTIME" --valid-until-duration="$BIO_QUEUE_WAIT" 2>"$errors"
            ;;
        *) act gcloud compute tpus tpu-vm create "$BIO_NAME" "${flags[@]}" --version="$BIO_RUNTIME" 2>"$errors" ;;
    esac
}

hopeless() { # whether the newest error will come again
    ! grep -q 'per minute' "$errors" &&
        grep -qE '[Qq]uota|PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT|FAILED_PRECONDITION|unrecognized arg' "$errors"
}

make_ready() { # [SITUATION in a dry run]: until the TPU is READY, making it if there is none
    local requests=0 looks=0 unknown=0 found assumed=${1:-ABSENT}
    while :; do
        found=$(situation "$assumed")
        [ "$found" = UNKNOWN ] || unknown=0
        case $found in
            READY) return 0 ;;
            ABSENT)
                ((requests < BIO_CREATE_TRIES)) ||
                    fail "no TPU after $requests requests. Try another BIO_ZONE or BIO_ACCELERATOR, or BIO_PROVISIONING=queued-spot"
                ((requests == 0)) || back_off "$requests"
                ((++requests))
                looks=0 assumed=READY
                if ! request; then
                    cat "$errors" >&2
                    ! hopeless || fail "the cloud refuses this request, and would again: see its message above. Quota is asked for \
under IAM & Admin > Quotas (Cloud TPU API); access needs roles/tpu.admin; names are in the settings file"
                    warn "request $requests of $BIO_CREATE_TRIES failed"
                fi
                ;;
            WAITING)
                case $BIO_PROVISIONING in
                    queued*) ;; # the cloud itself gives up after BIO_QUEUE_WAIT
                    *) ((++looks <= BIO_READY_POLLS)) || fail "the TPU $BIO_NAME is not READY after $BIO_READY_POLLS looks" ;;
                esac
                pause "$BIO_POLL"
                ;;
            DEAD)
                say "$BIO_NAME was preempted or could not be made; it is deleted and made again"
                remove
                ;;
            UNKNOWN)
                ((++unknown < BIO_TRIES)) || {
                    cat "$errors" >&2
                    fail "the cloud does not say what state $BIO_NAME is in, $unknown times in a row"
                }
                back_off "$unknown"
                ;;
            *) by_hand "$found" ;;
        esac
    done
}

remove() { # request and TPU, whichever exist; returns when both are gone
    local count queue node
    for ((count = 1; ; count++)); do
        queue=$(queue_state "$(case $BIO_PROVISIONING in queued*) echo ACTIVE ;; *) echo ABSENT ;; esac)")
        case $queue in
            ABSENT | UNKNOWN | DELETING) ;;
            *) act gcloud compute tpus queued-resources delete "$BIO_NAME" "${where[@]}" --force ||
                warn "deleting the request failed" ;;
        esac
        node=$(node_state READY)
        case $node in
            ABSENT | UNKNOWN | DELETING) ;;
            *) act gcloud compute tpus tpu-vm delete "$BIO_NAME" "${where[@]}" || warn "deleting the TPU failed" ;;
        esac
        [ "$dry" = no ] || return 0
        if [ "$(queue_state)/$(node_state)" = ABSENT/ABSENT ]; then return 0; fi
        ((count < BIO_TRIES)) || fail "$BIO_NAME could not be deleted in $BIO_TRIES tries"
        back_off "$count"
    done
}

# -------------------------------------------------------------------- the workers

# The exit status of ssh to all workers says only that one of several failed, and is lost with the connection: it serves
# for commands that may be given twice. How training ended is written to the bucket by each worker itself.
act_on() { # WORKER COMMAND
    act gcloud compute tpus tpu-vm ssh "$BIO_NAME" "${where[@]}" --worker="$1" --command="$2"
}

ask_of() { # ANSWER WORKER COMMAND
    ask "$1" gcloud compute tpus tpu-vm ssh "$BIO_NAME" "${where[@]}" --worker="$2" --command="$3"
}

worker_count() {
    local addresses
    addresses=$(ask 10.0.0.1 gcloud compute tpus tpu-vm describe "$BIO_NAME" "${where[@]}" \
        --format='value(networkEndpoints[].ipAddress)') || return 1
    tr ';' '\n' <<<"$addresses" | grep -c .
}
