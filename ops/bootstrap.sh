#!/bin/sh
# Makes .venv with everything of requirements-dev.lock. Called by make; does nothing when that is done already.
# With the argument `servers`: looks for the servers and checkers that only the tests start, and that no wheel has.
#
#   PYTHON             the interpreter to use (default: python3.12 or python3.11 on the PATH)
#   VENV               the folder (default: .venv in the repository)
#   RABBITMQ_SCRIPTS   where RabbitMQ's own scripts are (default: where Debian has them)
#   POSTGRES_VERSIONS  where the PostgreSQL servers are (default: where Debian has them)
#   POLICY_RC_D        what Debian's packages ask before they start a service (default: /usr/sbin/policy-rc.d)
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
LOCK=requirements-dev.lock
STAMP=$VENV/.installed
RABBITMQ_SCRIPTS=${RABBITMQ_SCRIPTS:-/usr/lib/rabbitmq/bin}
POSTGRES_VERSIONS=${POSTGRES_VERSIONS:-/usr/lib/postgresql}
POLICY_RC_D=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

say() { echo "bootstrap: $*" >&2; }
stop() { say "$*"; exit 1; }
checksum() { cksum <"$LOCK"; }

# Whether this machine lets us install what is missing: root on Debian or Ubuntu.
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

install() {
    say "installing with apt-get: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >/dev/null 2>&1 && return
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >/dev/null
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-} python3.12 python3.11 python3; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

choose_python() {
    python=$(find_python)
    if [ -z "$python" ] && may_install; then
        install python3 python3-venv || true
        python=$(find_python)
    fi
    [ -n "$python" ] || stop "missing: Python 3.11 or 3.12 with venv (Debian, Ubuntu: apt-get install python3 python3-venv)"
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if may_install; then install "$package" || true; fi
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        stop "missing: the venv module of $python (Debian, Ubuntu: apt-get install $package)"
}

# The mongod of the wheel is linked against two libraries. Who has a MongoDB of his own does not need them.
check_libraries() {
    [ "$(uname -s)" = Linux ] && [ -z "${AIRFLOW_CONN_MONGO_DEFAULT:-}" ] || return 0
    command -v mongod >/dev/null 2>&1 && return
    for pair in libcurl.so.4=libcurl4 libssl.so.3=libssl3; do
        loads() { "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "${pair%=*}" >/dev/null 2>&1; }
        loads && continue
        if may_install; then install "${pair#*=}" || true; fi
        loads || say "missing for the embedded mongod: ${pair#*=} (or put a mongod on the PATH, or set AIRFLOW_CONN_MONGO_DEFAULT)"
    done
}

install_packages() {
    if ! fits "$VENV/bin/python"; then
        rm -rf "$VENV"
        "$python" -m venv "$VENV"
    fi
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$VENV/bin/python" -m ensurepip >/dev/null
    uv=$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' "$LOCK")
    if "$VENV/bin/uv" --version >/dev/null 2>&1 || "$VENV/bin/python" -m pip install -q "$uv" >/dev/null 2>&1; then
        "$VENV/bin/uv" pip sync -q --python "$VENV/bin/python" --require-hashes --compile-bytecode "$LOCK"
    else
        say "no uv for this machine, using pip"
        # --no-deps: the lock names every package; with hashes pip would refuse those that others want with extras.
        "$VENV/bin/python" -m pip install -q --no-deps --require-hashes -r "$LOCK"
    fi
}

has_rabbitmq() { [ -x "$RABBITMQ_SCRIPTS/rabbitmq-server" ] || command -v rabbitmq-server >/dev/null 2>&1; }

has_postgres() {
    command -v postgres >/dev/null 2>&1 && return
    for server in "$POSTGRES_VERSIONS"/*/bin/postgres; do
        if [ -x "$server" ]; then return; fi
    done
    return 1
}

# Install a package without letting its service start, now or at the next boot.
install_without_service() {
    policy=
    if [ ! -e "$POLICY_RC_D" ]; then
        policy=$POLICY_RC_D
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    install --no-install-recommends "$1" || true
    if [ -n "$policy" ]; then rm -f "$policy"; fi
    if command -v systemctl >/dev/null 2>&1; then systemctl disable -q "$1" >/dev/null 2>&1 || true; fi
}

has_promtool() { command -v promtool >/dev/null 2>&1; }
has_chromium() { command -v chromium >/dev/null 2>&1; }
has_amtool() { command -v amtool >/dev/null 2>&1; }

# need TEST PACKAGE NAME: install the package where the test says that it is missing.
need() {
    "$1" && return
    if may_install; then install_without_service "$2"; fi
    "$1" || say "missing for the tests: $3 (Debian, Ubuntu: apt-get install $2; its service need not run)"
}

# The tests of the health check and of the broker's failures start a RabbitMQ node of their own, those of the distributed
# mode a PostgreSQL, and a browser for the UI; the alerts' rules and routes are checked by Prometheus's and Alertmanager's
# own tools.
servers() {
    need has_rabbitmq rabbitmq-server RabbitMQ
    need has_postgres postgresql PostgreSQL
    need has_promtool prometheus promtool
    need has_amtool prometheus-alertmanager amtool
    need has_chromium chromium Chromium
}

venv() {
    if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(checksum)" ]; then return; fi
    choose_python
    check_libraries
    say "installing the packages of $LOCK into $VENV with $python (some minutes the first time)"
    install_packages
    checksum >"$STAMP"
}

case ${1:-venv} in
venv) venv ;;
servers) servers ;;
*) stop "unknown argument $1: venv or servers" ;;
esac
